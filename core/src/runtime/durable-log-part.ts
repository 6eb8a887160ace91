import type { Dictionary } from './durable-log.ts'
import {
  encodeFrame,
  encodeHeader,
  entryKind,
  frameBytes,
  headerBytes,
  maxBodyBytes,
  recordCrc,
  recordKind,
  writeFrameHead,
} from './durable-log-format.ts'
import type { Carried } from './durable-log-recovery.ts'
import type { StoredSegment } from './durable-log-segment.ts'
import type { OpenFile } from './files.ts'

const chunkBytes = 64 * 1024

/** The file that a part goes into; `stored` once something of it is durable. */
export interface PartFile {
  readonly path: string
  readonly name: string
  readonly serial: number
  readonly open: OpenFile
  stored: StoredSegment | null
}

/** What one write takes along; handed back if it fails. */
export interface Taken {
  readonly frames: readonly Buffer[]
  readonly bytes: number
  readonly entries: number
  /** one past the last position */
  readonly end: number
}

/**
 * The records of one segment on their way to the disk: frames in memory until a sync covered them, and the dictionary.
 * Whether a file exists for it yet, and which, may change: after a failed write the same part begins another file.
 */
export class Part implements Dictionary {
  #first: number
  #end: number
  #carried = 0
  #carriedEnd: number
  #records = 0
  /** bytes of the file as it will be */
  #size = headerBytes
  readonly #ids = new Map<string, number>()
  readonly #entries: string[] = []
  /** ids below this are durable in the current file, so a new file must begin with them */
  #durableEntries = 0

  #retained: readonly Buffer[] = []
  #full: Buffer[] = []
  #chunk = Buffer.alloc(0)
  #start = 0
  #at = 0
  #pendingBytes = 0

  file: PartFile | null = null
  /** even without a record its segment must come into being, because its header proves the numbering */
  mustExist = false

  constructor(first: number) {
    this.#first = first
    this.#end = first
    this.#carriedEnd = first
  }

  static of(carried: Carried, end: number): Part {
    const part = new Part(carried.first)
    for (const [id, entry] of carried.entries.entries()) part.#ids.set(entry, id)
    part.#entries.push(...carried.entries)
    part.#durableEntries = carried.entries.length
    part.#size += part.#preambleBytes()
    for (const { frame } of carried.records) part.#place(frame.length).set(frame)
    part.#carried = carried.records.length
    part.#records = carried.records.length
    part.#carriedEnd = end
    part.#end = end
    return part
  }

  get first(): number {
    return this.#first
  }

  get end(): number {
    return this.#end
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  get hasWork(): boolean {
    return this.#pendingBytes > 0 || (this.mustExist && !this.file?.stored)
  }

  isFull(segmentBytes: number): boolean {
    return this.#records > 0 && this.#size >= segmentBytes
  }

  idOf(entry: string): number {
    const known = this.#ids.get(entry)
    if (known !== undefined) return known
    const body = Buffer.from(entry)
    if (body.length > maxBodyBytes) throw new RangeError(`a dictionary entry of ${body.length} bytes is too long`)
    const id = this.#entries.length
    this.#ids.set(entry, id)
    this.#entries.push(entry)
    const frame = encodeFrame(entryKind, this.#end, id, body)
    this.#place(frame.length).set(frame)
    return id
  }

  add(body: Uint8Array): { position: number; crc: number } {
    if (body.length > maxBodyBytes) throw new RangeError(`a record of ${body.length} bytes is too long`)
    const position = this.#end
    const crc = recordCrc(position, body)
    this.#reserve(frameBytes + body.length)
    writeFrameHead(this.#chunk, this.#at, recordKind, position, body.length, this.#entries.length, crc)
    this.#chunk.set(body, this.#at + frameBytes)
    this.#advance(frameBytes + body.length)
    this.#end = position + 1
    this.#records++
    return { position, crc }
  }

  /** Everything that is not durable yet. */
  take(): Taken {
    this.#closeChunk()
    const frames = [...this.#retained, ...this.#full]
    this.#full = []
    this.#retained = frames
    return { frames, bytes: this.#pendingBytes, entries: this.#entries.length, end: this.#end }
  }

  /** What `take` gave is durable. */
  written({ bytes, entries }: Taken): void {
    this.#retained = []
    this.#pendingBytes -= bytes
    this.#durableEntries = entries
  }

  /** The file is given up. What it holds durably stays its own; all else goes into another file, with the same ids. */
  leaveFile(): void {
    const stored = this.file?.stored
    this.file = null
    if (!stored) return
    this.#first = stored.end
    this.#carried = 0
    this.#carriedEnd = stored.end
    this.#size = headerBytes + this.#preambleBytes() + this.#pendingBytes
  }

  /** What a new file begins with. */
  preamble(serial: number, chained: boolean, link: Uint8Array): Buffer[] {
    const header = encodeHeader({
      serial,
      first: this.#first,
      carried: this.#carried,
      carriedEnd: this.#carriedEnd,
      chained,
      link,
    })
    const entries = this.#entries.slice(0, this.#durableEntries)
    return [header, ...entries.map((entry, id) => encodeFrame(entryKind, this.#first, id, Buffer.from(entry)))]
  }

  #preambleBytes(): number {
    let bytes = 0
    for (const entry of this.#entries.slice(0, this.#durableEntries)) bytes += frameBytes + Buffer.byteLength(entry)
    return bytes
  }

  #place(bytes: number): Buffer {
    this.#reserve(bytes)
    const place = this.#chunk.subarray(this.#at, this.#at + bytes)
    this.#advance(bytes)
    return place
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#chunk.length) return
    this.#closeChunk()
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(chunkBytes, bytes))
    this.#start = 0
    this.#at = 0
  }

  #advance(bytes: number): void {
    this.#at += bytes
    this.#size += bytes
    this.#pendingBytes += bytes
  }

  #closeChunk(): void {
    if (this.#at > this.#start) this.#full.push(this.#chunk.subarray(this.#start, this.#at))
    this.#start = this.#at
  }
}
