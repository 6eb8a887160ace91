import type { FileLayer } from '@penstock/core/runtime/files.ts'

/** How far a receiver has been told: number of the next journal record. Written after each success or final refusal. */
export class CursorFile {
  readonly #path: string
  readonly #files: FileLayer

  constructor(folder: string, id: string, files: FileLayer) {
    this.#path = `${folder}/${id}.cursor`
    this.#files = files
  }

  /** Null when there is none or it cannot be read. */
  async load(): Promise<number | null> {
    const bytes = await this.#files.readWhole(this.#path)
    if (!bytes) return null
    const next = Number(new TextDecoder().decode(bytes).trim())
    return Number.isSafeInteger(next) && next >= 0 ? next : null
  }

  save(next: number): Promise<void> {
    return this.#files.replace(this.#path, new TextEncoder().encode(`${next}\n`))
  }
}
