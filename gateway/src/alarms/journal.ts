import type { JournalRecord } from '@penstock/core/alarms/journal-record.ts'
import type { ChainBreak, DurableLog, OnDamage } from '@penstock/core/runtime/durable-log.ts'
import { openDurableLog } from '@penstock/core/runtime/durable-log-open.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'

/** A record with its number in the journal: gapless, from 0. */
export interface StoredRecord extends JournalRecord {
  readonly seq: number
}

export interface JournalQuery {
  readonly alarm?: string
  /** event time, inclusive */
  readonly from?: number
  /** event time, exclusive */
  readonly to?: number
  /** only records with a smaller number */
  readonly before?: number
  readonly limit: number
}

export interface JournalPage {
  /** newest first */
  readonly records: readonly StoredRecord[]
  /** give it as `before` to go on; null: there is no older record */
  readonly next: number | null
}

export interface JournalOptions {
  readonly folder: string
  readonly files: FileLayer
  readonly segmentBytes?: number
  readonly onDamage?: OnDamage
}

const chunkRecords = 512
const chunkBytes = 4 * 1024 * 1024
/** A query looks at no more records than this and says where to go on. */
const scanRecords = 20_000

/**
 * Everything that ever happened to an alarm: append-only, one hash link per commit, never trimmed. A correction is a new record.
 * Each record names the inbox entry that caused it, so that after a crash only what is missing is appended.
 */
export class AlarmJournal {
  readonly #log: DurableLog
  #last: { readonly position: number; readonly index: number }

  private constructor(log: DurableLog, last: { position: number; index: number }) {
    this.#log = log
    this.#last = last
  }

  /** Damage is reported and passed over. @throws PenstockError `disk-failed` */
  static async open({
    folder,
    files,
    segmentBytes = 16 * 1024 * 1024,
    onDamage,
  }: JournalOptions): Promise<AlarmJournal> {
    const log = await openDurableLog({ folder, files, segmentBytes, chain: true, ...(onDamage && { onDamage }) })
    let last = { position: -1, index: -1 }
    for (
      let from = log.end - chunkRecords;
      last.position < 0 && from > log.first - chunkRecords;
      from -= chunkRecords
    ) {
      const records = await log.read(Math.max(log.first, from), chunkRecords, chunkBytes)
      const newest = records.at(-1)
      if (newest) last = decode(newest.position, newest.body)
    }
    return new AlarmJournal(log, { position: last.position, index: last.index })
  }

  /** number of the next record */
  get end(): number {
    return this.#log.end
  }

  get durableEnd(): number {
    return this.#log.durableEnd
  }

  get first(): number {
    return this.#log.first
  }

  /** Link behind the last durable record: the anchor to keep elsewhere. */
  get head(): Uint8Array {
    return this.#log.head
  }

  /** One above the inbox position of the newest record: the inbox must never give a position below it again. */
  get nextPosition(): number {
    return this.#last.position + 1
  }

  /** Appends what is not in the journal yet; after a crash the same records come again. Returns how many were new. */
  append(records: readonly JournalRecord[]): number {
    let appended = 0
    for (const record of records) {
      const { position, index } = record
      const known = position < this.#last.position || (position === this.#last.position && index <= this.#last.index)
      if (known) continue
      this.#log.append(() => encode(record))
      this.#last = { position, index }
      appended++
    }
    return appended
  }

  /** Resolves when everything appended is on the disk. @throws PenstockError `disk-full` | `disk-failed`; try again */
  sync(): Promise<void> {
    return this.#log.sync()
  }

  /** Durable records from number `from` on, oldest first. */
  async read(from: number, limit: number): Promise<StoredRecord[]> {
    const records = await this.#log.read(from, limit, chunkBytes)
    return records.map(({ position, body }) => decode(position, body))
  }

  /** Newest first; looks at a bounded number of records and says where to go on. */
  async query({ alarm, from, to, before, limit }: JournalQuery): Promise<JournalPage> {
    const found: StoredRecord[] = []
    let end = Math.min(before ?? this.#log.durableEnd, this.#log.durableEnd)
    const lowest = Math.max(this.#log.first, end - scanRecords)
    while (end > lowest && found.length < limit) {
      const start = Math.max(lowest, end - chunkRecords)
      const chunk = (await this.#readAll(start, end)).reverse()
      for (const record of chunk) {
        if (found.length >= limit) break
        end = record.seq
        if (alarm !== undefined && record.alarm !== alarm) continue
        if (from !== undefined && record.at < from) continue
        if (to !== undefined && record.at >= to) continue
        found.push(record)
      }
      if (found.length < limit) end = start
    }
    return { records: found, next: end > this.#log.first ? end : null }
  }

  /** Reads everything and follows the hash chain; null if it is whole. */
  verify(): Promise<ChainBreak | null> {
    return this.#log.verify()
  }

  close(): Promise<void> {
    return this.#log.close()
  }

  async #readAll(start: number, end: number): Promise<StoredRecord[]> {
    const records: StoredRecord[] = []
    let from = start
    while (from < end) {
      const chunk = await this.#log.read(from, end - from, chunkBytes)
      const newest = chunk.at(-1)
      if (!newest) break
      for (const { position, body } of chunk) if (position < end) records.push(decode(position, body))
      from = newest.position + 1
    }
    return records
  }
}

const blank: Omit<JournalRecord, 'kind' | 'position' | 'index' | 'at' | 'appliedAt'> = {
  lane: 'live',
  cause: null,
  announce: false,
  alarm: null,
  rule: null,
  ruleHash: null,
  source: null,
  priority: null,
  level: null,
  fromLevel: null,
  before: null,
  after: null,
  occ: null,
  ann: null,
  value: null,
  limit: null,
  unit: null,
  reason: null,
  activeSince: null,
  returnedAt: null,
  late: false,
  count: 1,
  actor: null,
  commandId: null,
  comment: null,
  text: null,
  route: null,
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** JSON without the fields that say nothing. */
function encode(record: JournalRecord): Uint8Array {
  const said = Object.entries(record).filter(([key, value]) => value !== blank[key as keyof typeof blank])
  return encoder.encode(JSON.stringify(Object.fromEntries(said)))
}

function decode(seq: number, body: Uint8Array): StoredRecord {
  return { ...blank, ...(JSON.parse(decoder.decode(body)) as JournalRecord), seq }
}
