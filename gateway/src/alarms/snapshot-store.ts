import type { AlarmEngine } from '@penstock/core/alarms/engine.ts'
import type { RuleFile } from '@penstock/core/alarms/rule-file.ts'
import { decodeSnapshot, encodeSnapshot } from '@penstock/core/alarms/snapshot.ts'
import { crc32c } from '@penstock/core/runtime/crc32c.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'

export interface SavedEngine {
  readonly engine: AlarmEngine
  readonly files: readonly RuleFile[]
  /** next inbox position to fold */
  readonly next: number
}

const names = ['snapshot-a', 'snapshot-b'] as const
const headBytes = 12

/** Two snapshots in turn, each with a checksum: when the newer one cannot be read, the older one and the inbox make up for it. */
export class SnapshotStore {
  readonly #folder: string
  readonly #files: FileLayer
  readonly #log: Logger
  /** inbox position of each of the two, 0 when there is none */
  readonly #next: [number, number] = [0, 0]
  #found = false

  constructor(folder: string, files: FileLayer, log: Logger) {
    this.#folder = folder
    this.#files = files
    this.#log = log
  }

  /** From here on the inbox must be kept: what the older of the two needs. */
  get cursor(): number {
    return Math.min(...this.#next)
  }

  /** Whether `load` saw a snapshot, readable or not. */
  get found(): boolean {
    return this.#found
  }

  /** The newest that can be read; null if there is none. */
  async load(): Promise<SavedEngine | null> {
    const readable: { next: number; body: Uint8Array; name: string }[] = []
    for (const [place, name] of names.entries()) {
      const bytes = await this.#files.readWhole(`${this.#folder}/${name}`)
      if (!bytes) continue
      this.#found = true
      const unpacked = unpack(bytes)
      if (unpacked) {
        this.#next[place === 0 ? 0 : 1] = unpacked.next
        readable.push({ ...unpacked, name })
      } else {
        this.#log.error({ snapshot: name }, 'a snapshot of the alarms is damaged; the other one is used')
      }
    }
    for (const { next, body, name } of readable.sort((a, b) => b.next - a.next)) {
      const decoded = decodeSnapshot(body)
      if (decoded) return { ...decoded, next }
      this.#log.error({ snapshot: name }, 'a snapshot of the alarms is of another version; the inbox makes up for it')
    }
    return null
  }

  /** Replaces the older one. @throws PenstockError `disk-full` | `disk-failed`; the newer one stays */
  async save(engine: AlarmEngine, files: readonly RuleFile[], next: number): Promise<void> {
    const place = this.#next[0] <= this.#next[1] ? 0 : 1
    await this.#files.replace(`${this.#folder}/${names[place]}`, pack(encodeSnapshot(engine, files), next))
    this.#next[place] = next
  }
}

function pack(body: Uint8Array, next: number): Uint8Array {
  const bytes = new Uint8Array(headBytes + body.length)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(4, BigInt(next))
  bytes.set(body, headBytes)
  view.setUint32(0, crc32c(bytes.subarray(4)))
  return bytes
}

function unpack(bytes: Uint8Array): { next: number; body: Uint8Array } | null {
  if (bytes.length < headBytes) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0) !== crc32c(bytes.subarray(4))) return null
  return { next: Number(view.getBigUint64(4)), body: bytes.subarray(headBytes) }
}
