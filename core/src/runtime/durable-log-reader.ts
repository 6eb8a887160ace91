import type { LogRecord, OnDamage } from './durable-log.ts'
import {
  entryKind,
  Frame,
  frameBytes,
  headerBytes,
  readFrame,
  recordKind,
  resynchronise,
} from './durable-log-format.ts'
import { attempt, readAround, type StoredSegment } from './durable-log-segment.ts'
import type { FileLayer, OpenFile } from './files.ts'

const smallestBlock = 16 * 1024
const largestBlock = 1024 * 1024
const indexEvery = 64 * 1024
const rememberedPlaces = 16

interface Request {
  readonly from: number
  readonly end: number
  /** the durable part of the file */
  readonly bytes: number
  readonly maxRecords: number
  readonly maxBytes: number
}

/** Reads one segment. What it has passed once it knows: the dictionary, places to start from, gaps to step over. */
class SegmentReader {
  readonly #name: string
  readonly #file: OpenFile
  readonly #onDamage: OnDamage
  readonly #entries: string[] = []
  /** every frame below has been seen in order, so the dictionary is complete up to here */
  #scannedTo = headerBytes
  #scannedPosition: number
  #scannedRecords = 0
  /** ascending */
  readonly #index: { position: number; offset: number }[]
  /** where earlier calls stopped: sequential readers go on exactly there */
  readonly #places = new Map<number, number>()
  /** damaged at the key, sound again at the value */
  readonly #gaps = new Map<number, number>()
  readonly #frame = new Frame()

  constructor(segment: StoredSegment, file: OpenFile, onDamage: OnDamage) {
    this.#name = segment.name
    this.#file = file
    this.#onDamage = onDamage
    this.#scannedPosition = segment.first
    this.#index = [{ position: segment.first, offset: headerBytes }]
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  /** Adds to `out` and returns how many bytes of bodies. */
  async read(request: Request, out: LogRecord[]): Promise<number> {
    const { from, end, bytes, maxRecords, maxBytes } = request
    const frame = this.#frame
    const stopAt = out.length + maxRecords
    let { offset, position: expected } = this.#locate(from)
    let taken = 0
    let wanted = 0
    while (offset < bytes) {
      const gapEnd = this.#gaps.get(offset)
      if (gapEnd !== undefined) {
        offset = gapEnd
        continue
      }
      const length = Math.max(wanted, this.#blockBytes(maxRecords - taken, maxBytes - taken))
      const block = await readAround(this.#file, offset, Math.min(length, bytes - offset))
      wanted = 0
      if (block.length === 0) await this.#passDamage(offset, bytes, expected)
      let at = 0
      while (at < block.length) {
        const size = readFrame(frame, block, at)
        if (size < 0 && block.length === Math.min(length, bytes - offset) && offset + at - size <= bytes) {
          wanted = -size
          break
        }
        if (size <= 0) {
          await this.#passDamage(offset + at, bytes, expected)
          break
        }
        const place = offset + at
        const isNew = place >= this.#scannedTo
        if (frame.kind === entryKind && frame.position >= expected) {
          if (frame.entries === this.#entries.length) {
            this.#entries.push(block.toString('utf8', frame.bodyStart, frame.bodyEnd))
          }
        } else if (frame.kind === recordKind && frame.position >= expected) {
          if (frame.position >= end) return taken
          expected = frame.position + 1
          if (frame.entries > this.#entries.length) {
            if (isNew) this.#damage(place, 'record without its dictionary entry')
          } else if (frame.position >= from) {
            const body = block.subarray(frame.bodyStart, frame.bodyEnd)
            out.push({ position: frame.position, crc: frame.crc, body, entries: this.#entries })
            taken += body.length
          }
        }
        at += size
        if (isNew) this.#passed(offset + at, expected, frame.kind === recordKind)
        if (out.length >= stopAt || taken >= maxBytes) {
          this.#remember(expected, offset + at)
          return taken
        }
      }
      offset += at
    }
    this.#remember(expected, offset)
    return taken
  }

  #blockBytes(records: number, bytes: number): number {
    const average = this.#scannedRecords > 0 ? (this.#scannedTo - headerBytes) / this.#scannedRecords : 256
    const byCount = records * average * 1.1 + frameBytes
    const bySize = bytes * (1 + frameBytes / Math.max(1, average - frameBytes))
    return Math.floor(Math.min(largestBlock, Math.max(smallestBlock, Math.min(byCount, bySize))))
  }

  #locate(from: number): { offset: number; position: number } {
    const place = this.#places.get(from)
    if (place !== undefined) return { offset: place, position: from }
    if (from >= this.#scannedPosition) return { offset: this.#scannedTo, position: this.#scannedPosition }
    let low = 0
    let high = this.#index.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if ((this.#index[middle]?.position ?? 0) <= from) low = middle
      else high = middle
    }
    return this.#index[low] ?? { offset: headerBytes, position: 0 }
  }

  #passed(offset: number, position: number, isRecord: boolean): void {
    this.#scannedTo = offset
    this.#scannedPosition = position
    if (isRecord) this.#scannedRecords++
    if (offset - (this.#index.at(-1)?.offset ?? 0) >= indexEvery) this.#index.push({ position, offset })
  }

  #remember(position: number, offset: number): void {
    if (offset > this.#scannedTo) return
    this.#places.delete(position)
    this.#places.set(position, offset)
    if (this.#places.size <= rememberedPlaces) return
    for (const oldest of this.#places.keys()) {
      this.#places.delete(oldest)
      break
    }
  }

  async #passDamage(offset: number, bytes: number, lowest: number): Promise<void> {
    if (this.#gaps.has(offset)) return
    const rest = await readAround(this.#file, offset, bytes - offset)
    const next = resynchronise(rest, 0, lowest)
    const end = next < rest.length ? offset + next : bytes
    if (this.#gaps.has(offset)) return
    this.#gaps.set(offset, end)
    this.#damage(offset, `unreadable, ${end - offset} bytes`)
    if (offset <= this.#scannedTo) this.#scannedTo = Math.max(this.#scannedTo, end)
  }

  #damage(offset: number, what: string): void {
    this.#onDamage({ segment: this.#name, offset, what })
  }
}

const maxOpen = 8

interface Held {
  readonly reader: Promise<SegmentReader>
  users: number
}

/** Reads across segments, with a bounded number of open files; a segment that is being read is not closed under the reader. */
export class LogReader {
  readonly #files: FileLayer
  readonly #onDamage: OnDamage
  /** least recently used first */
  readonly #held = new Map<StoredSegment, Held>()
  readonly #waiting = new Map<StoredSegment, () => void>()
  #closed = false

  constructor(files: FileLayer, onDamage: OnDamage) {
    this.#files = files
    this.#onDamage = onDamage
  }

  async read(
    segments: readonly StoredSegment[],
    from: number,
    maxRecords: number,
    maxBytes: number,
  ): Promise<LogRecord[]> {
    const out: LogRecord[] = []
    let position = from
    let budget = maxBytes
    while (!this.#closed && out.length < maxRecords && (budget > 0 || out.length === 0)) {
      const segment = findSegment(segments, position)
      if (!segment) break
      const { end, bytes } = segment
      const request = { from: position, end, bytes, maxRecords: maxRecords - out.length, maxBytes: Math.max(1, budget) }
      const held = this.#hold(segment)
      try {
        budget -= await (await held.reader).read(request, out)
      } finally {
        await this.#release(segment, held)
      }
      position = end
    }
    return out
  }

  /** Closes the file of a segment that is no longer in the list, when the last read of it has ended. */
  async forget(segment: StoredSegment): Promise<void> {
    const held = this.#held.get(segment)
    if (!held) return
    if (held.users > 0) await new Promise<void>(resolve => this.#waiting.set(segment, resolve))
    this.#held.delete(segment)
    await closeHeld(held)
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const segment of [...this.#held.keys()]) await this.forget(segment)
  }

  #hold(segment: StoredSegment): Held {
    const held = this.#held.get(segment) ?? { reader: this.#open(segment), users: 0 }
    held.users++
    this.#held.delete(segment)
    this.#held.set(segment, held)
    return held
  }

  async #open(segment: StoredSegment): Promise<SegmentReader> {
    return new SegmentReader(segment, await this.#files.open(segment.path), this.#onDamage)
  }

  async #release(segment: StoredSegment, held: Held): Promise<void> {
    held.users--
    if (held.users > 0) return
    const waiting = this.#waiting.get(segment)
    if (waiting) {
      this.#waiting.delete(segment)
      waiting()
      return
    }
    const opened = await held.reader.then(
      () => true,
      () => false,
    )
    if (!opened && this.#held.get(segment) === held) this.#held.delete(segment)
    if (this.#held.size <= maxOpen) return
    for (const [oldest, candidate] of this.#held) {
      if (candidate.users > 0) continue
      this.#held.delete(oldest)
      await closeHeld(candidate)
      break
    }
  }
}

const closeHeld = (held: Held): Promise<boolean> => attempt(async () => (await held.reader).close())

/** The first segment that reaches beyond `position`. */
export function findSegment(segments: readonly StoredSegment[], position: number): StoredSegment | undefined {
  let low = 0
  let high = segments.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((segments[middle]?.end ?? 0) > position) high = middle
    else low = middle + 1
  }
  return segments[low]
}
