import type { DeliveryClass } from '@penstock/core/reading.ts'
import type { DurableLog, Segment } from '@penstock/core/runtime/durable-log.ts'
import type { Hole } from './cursor-file.ts'
import { decodeRecord, encodeRecord, parseKind, type StoredBatch, type StoredTag } from './record.ts'

export interface HeldRecord {
  /** number of the record in the log; the delivery position is this minus the base of the epoch */
  readonly position: number
  readonly crc: number
  readonly batch: StoredBatch
  readonly bytes: number
  /** ticker time of the append; −Infinity for what was read back from the disk */
  readonly appendedAt: number
}

export interface ClassLogOptions {
  readonly name: DeliveryClass
  readonly log: DurableLog
  readonly cursor: number
  readonly tail: number | null
  readonly holes: readonly Hole[]
  /** false: also what is not yet on the disk is given out (tests only) */
  readonly fsyncBeforePublish: boolean
  /** Records [from, to) are there but cannot be read. */
  readonly onUnreadable: (from: number, to: number) => void
  /** A block asked for by `take` has been read, or reading failed. */
  readonly onLoaded: (error: unknown) => void
}

const recentBytes = 256 * 1024
const blockRecords = 64
const blockBytes = 512 * 1024
const keptHoles = 64

/** One class of the outbox: its log, how far it is confirmed, and its records in order, from memory while they are new. */
export class ClassLog {
  readonly name: DeliveryClass
  readonly #options: ClassLogOptions
  readonly #log: DurableLog
  readonly #kinds = new Map<string, StoredTag>()
  readonly #openedEnd: number
  #cursor: number
  #tail: number | null
  #holes: Hole[]
  #recent: (HeldRecord | undefined)[] = []
  #recentHead = 0
  #recentBytes = 0
  #block: { from: number; to: number; records: HeldRecord[] } | null = null
  #loading = false

  constructor(options: ClassLogOptions) {
    this.name = options.name
    this.#options = options
    this.#log = options.log
    this.#openedEnd = options.log.end
    this.#cursor = options.cursor
    this.#tail = options.tail
    this.#holes = [...options.holes]
  }

  get cursor(): number {
    return this.#cursor
  }

  get tail(): number | null {
    return this.#tail
  }

  get holes(): readonly Hole[] {
    return this.#holes
  }

  get first(): number {
    return this.#log.first
  }

  get end(): number {
    return this.#log.end
  }

  get durableEnd(): number {
    return this.#log.durableEnd
  }

  get bytes(): number {
    return this.#log.bytes
  }

  get segments(): readonly Segment[] {
    return this.#log.segments()
  }

  /**
   * One past the last record that was ever durable, as far as this disk shows: after a start some of it may have to be written
   * again, which a full disk delays.
   */
  get provenEnd(): number {
    return Math.max(this.publishable, this.#openedEnd)
  }

  /** One past the last record that may be published (delivery protocol, rule 1). */
  get publishable(): number {
    return this.#options.fsyncBeforePublish ? this.#log.durableEnd : this.#log.end
  }

  append(batch: StoredBatch, now: number): HeldRecord {
    let bytes = 0
    const { position, crc } = this.#log.append(dictionary => {
      const body = encodeRecord(batch, dictionary)
      bytes = body.length
      return body
    })
    const record = { position, crc, batch, bytes, appendedAt: now }
    this.#recent.push(record)
    this.#recentBytes += bytes
    this.forgetRecent()
    return record
  }

  /** Frees the memory of records that can be read back from the disk. */
  forgetRecent(): void {
    for (;;) {
      const oldest = this.#recent[this.#recentHead]
      if (!oldest || oldest.position >= this.#log.durableEnd) break
      // what is confirmed is hardly ever sent again, and lives so shortly that it costs next to nothing
      if (oldest.position >= this.#cursor && this.#recentBytes <= recentBytes) break
      this.#recentBytes -= oldest.bytes
      this.#recent[this.#recentHead++] = undefined
    }
    if (this.#recentHead > 256 && this.#recentHead * 2 > this.#recent.length) {
      this.#recent = this.#recent.slice(this.#recentHead)
      this.#recentHead = 0
    }
  }

  /** First publishable record at or after `from`; `loading`: it is being read, `onLoaded` will tell; null: there is none. */
  take(from: number): HeldRecord | 'loading' | null {
    let at = from
    for (;;) {
      at = this.#pastHoles(Math.max(at, this.#log.first))
      if (at >= this.publishable) return null
      const recent = this.#held(at)
      if (recent) return recent
      const block = this.#block
      if (!block || at < block.from || at >= block.to) {
        this.#load(at)
        return 'loading'
      }
      const found = block.records.find(record => record.position >= at)
      if (found) return found
      at = block.to
    }
  }

  /** Ticker time at which the record at or after `from` was appended; null: there is none, −Infinity: before this start. */
  appendedAt(from: number): number | null {
    const at = this.#pastHoles(Math.max(from, this.#log.first))
    if (at >= this.#log.end) return null
    return this.#held(at)?.appendedAt ?? Number.NEGATIVE_INFINITY
  }

  /** crc of a record, from memory; null if it is not known without the disk. */
  crcNow(position: number): number | null {
    if (position === this.#cursor - 1 && this.#tail !== null) return this.#tail
    return this.#held(position)?.crc ?? null
  }

  /** crc of a record, from memory or disk; null if it is not held or cannot be read. */
  async crcOf(position: number): Promise<number | null> {
    const known = this.crcNow(position)
    if (known !== null) return known
    if (position < this.#log.first || position >= this.#log.durableEnd) return null
    const [record] = await this.#log.read(position, 1, 1)
    return record?.position === position ? record.crc : null
  }

  /** Everything below `cursor` is confirmed; `tail` is the crc of the record before it, if known. */
  confirm(cursor: number, tail: number | null): void {
    this.#cursor = cursor
    this.#tail = tail
    this.forgetRecent()
  }

  /** [from, to) will never be sent. */
  addHole(from: number, to: number): void {
    this.#holes.push([from, to])
    if (this.#holes.length > keptHoles) this.#holes = this.#holes.slice(-keptHoles)
  }

  /** The part of [from, to) that is not known as a hole, as [from, to); null if there is none. Holes inside it are left in. */
  unknownHole(from: number, to: number): Hole | null {
    let start = from
    for (let past = this.#pastHoles(start); past !== start; past = this.#pastHoles(start)) start = past
    return start < to ? [start, to] : null
  }

  sync(): Promise<void> {
    return this.#log.sync()
  }

  async trim(before: number): Promise<void> {
    await this.#log.trim(before)
  }

  /** One batch, from memory or disk; null if it is not held or cannot be read. */
  async batchAt(position: number): Promise<StoredBatch | null> {
    const held = this.#held(position)
    if (held) return held.batch
    if (position < this.#log.first || position >= this.#log.durableEnd) return null
    try {
      const [record] = await this.#log.read(position, 1, 1)
      if (record?.position !== position) return null
      return decodeRecord(record.body, record.entries, this.name, this.#kinds)
    } catch {
      return null
    }
  }

  /** Dictionary entries of all segments that hold unconfirmed records, and the last record number that may use them. */
  async unconfirmedKinds(): Promise<Set<string>> {
    const kinds = new Set<string>()
    for (const segment of this.#log.segments()) {
      if (segment.end <= this.#cursor || segment.end === segment.first) continue
      const last = await this.#log.read(segment.end - 1, 1, 1)
      const records = last.length > 0 ? last : await this.#log.read(Math.max(segment.first, this.#cursor), 1, 1)
      for (const entry of records[0]?.entries ?? []) if (parseKind(entry)) kinds.add(entry)
    }
    return kinds
  }

  /** Every durable record from `from` on, in blocks (at start only). */
  async *records(from: number): AsyncGenerator<HeldRecord> {
    let at = Math.max(from, this.#log.first)
    while (at < this.#log.durableEnd) {
      const block = await this.#readBlock(at)
      for (const record of block.records) yield record
      at = block.to
    }
  }

  close(): Promise<void> {
    return this.#log.close()
  }

  #held(position: number): HeldRecord | undefined {
    const oldest = this.#recent[this.#recentHead]
    return oldest && position >= oldest.position
      ? this.#recent[this.#recentHead + position - oldest.position]
      : undefined
  }

  #pastHoles(position: number): number {
    let at = position
    for (const [from, to] of this.#holes) if (at >= from && at < to) at = to
    return at
  }

  #load(from: number): void {
    if (this.#loading) return
    this.#loading = true
    this.#readBlock(from)
      .then(
        block => {
          this.#loading = false
          this.#block = block
          this.#findHoles(block)
          this.#options.onLoaded(null)
        },
        error => {
          this.#loading = false
          this.#options.onLoaded(error)
        },
      )
      .catch(error => this.#options.onLoaded(error))
  }

  async #readBlock(from: number): Promise<{ from: number; to: number; records: HeldRecord[] }> {
    const limit = this.#log.durableEnd
    const found = await this.#log.read(from, blockRecords, blockBytes)
    const records: HeldRecord[] = []
    for (const { position, crc, body, entries } of found) {
      try {
        const batch = decodeRecord(body, entries, this.name, this.#kinds)
        records.push({ position, crc, batch, bytes: body.length, appendedAt: Number.NEGATIVE_INFINITY })
      } catch {
        // made by another version, or damaged in a way that the checksum did not see: a hole
      }
    }
    const last = found.at(-1)
    return { from, to: last ? last.position + 1 : Math.max(limit, from + 1), records }
  }

  #findHoles(block: { from: number; to: number; records: HeldRecord[] }): void {
    let expected = Math.max(block.from, this.#log.first)
    for (const position of [...block.records.map(record => record.position), block.to]) {
      const hole = position > expected ? this.unknownHole(expected, position) : null
      if (hole) this.#options.onUnreadable(...hole)
      expected = position + 1
    }
  }
}
