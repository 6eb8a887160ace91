import { deliveryClasses } from '@penstock/core/reading.ts'
import type { FileLayer, OpenFile } from '@penstock/core/runtime/files.ts'
import { type PerClass, readText } from './identity.ts'

/** Records that will never be sent: [from, to) in record numbers, declared as lost or about to be. */
export type Hole = readonly [from: number, to: number]

export interface CursorState {
  readonly epoch: string
  /** first record that the gateway has not confirmed */
  readonly cursor: PerClass<number>
  /** crc of record cursor − 1, null if unknown */
  readonly tail: PerClass<number | null>
  readonly holes: PerClass<readonly Hole[]>
}

const encoder = new TextEncoder()
const rewriteAt = 64 * 1024

/**
 * How far the gateway has confirmed (delivery protocol, E3). A line is added at most once a second and never synced, to spare
 * the flash: what a power cut takes from it is only sent again, or not even that, because the gateway's hello says where to go on.
 */
export class CursorFile {
  readonly #files: FileLayer
  readonly #path: string
  #file: OpenFile | undefined
  #size = 0

  private constructor(files: FileLayer, path: string) {
    this.#files = files
    this.#path = path
  }

  static async open(files: FileLayer, path: string): Promise<{ file: CursorFile; state: CursorState | null }> {
    const text = await readText(files, path)
    const file = new CursorFile(files, path)
    file.#size = text?.length ?? 0
    return { file, state: text === null ? null : newest(text) }
  }

  async save(state: CursorState): Promise<void> {
    const line = encoder.encode(`\n${JSON.stringify(state)}\n`)
    this.#file ??= await this.#files.open(this.#path)
    if (this.#size > rewriteAt) {
      await this.#file.truncate(0)
      this.#size = 0
    }
    await this.#file.append([line])
    this.#size += line.length
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }
}

/** The last whole line; a torn one is passed over. */
function newest(text: string): CursorState | null {
  for (const line of text.split('\n').reverse()) {
    if (!line) continue
    try {
      const state = JSON.parse(line) as CursorState
      const whole = deliveryClasses.every(
        name =>
          Number.isSafeInteger(state.cursor[name]) &&
          Array.isArray(state.holes[name]) &&
          state.tail[name] !== undefined,
      )
      if (typeof state.epoch === 'string' && whole) return state
    } catch {
      // torn by a power cut
    }
  }
  return null
}
