import type { StoredEntry } from './record-codec.ts'

/** The newest entries of the inbox, kept decoded so that consumers in step need not read the disk. Positions have no gaps. */
export class Recent {
  readonly #maxBytes: number
  #entries: { entry: StoredEntry; bytes: number }[] = []
  #head = 0
  #first: number
  #bytes = 0

  constructor(first: number, maxBytes: number) {
    this.#first = first
    this.#maxBytes = maxBytes
  }

  /** Lowest position that is held. */
  get first(): number {
    return this.#first
  }

  push(entry: StoredEntry, bytes: number): void {
    this.#entries.push({ entry, bytes })
    this.#bytes += bytes
    while (this.#bytes > this.#maxBytes && this.#head < this.#entries.length - 1) this.#shift()
  }

  at(position: number): StoredEntry | undefined {
    return this.#entries[this.#head + position - this.#first]?.entry
  }

  /** Lets go of everything below `position`. */
  release(position: number): void {
    while (this.#first < position && this.#head < this.#entries.length) this.#shift()
  }

  #shift(): void {
    this.#bytes -= this.#entries[this.#head]?.bytes ?? 0
    this.#head++
    this.#first++
    if (this.#head < 4096 || this.#head * 2 < this.#entries.length) return
    this.#entries = this.#entries.slice(this.#head)
    this.#head = 0
  }
}
