import { setImmediate as turn } from 'node:timers/promises'
import type { Cancel, Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { Consumer } from '../consumer.ts'
import type { InboxRecord } from '../ingest/record.ts'
import { ChunkWriter } from './chunk-writer.ts'
import {
  chunkReadings,
  type Db,
  type HistorianStatements,
  historianStatements,
  openHistorianDatabase,
} from './database.ts'
import type { Historian, StoredReading } from './historian.ts'
import { readRange } from './range.ts'
import { Retention, type StorageState } from './retention.ts'
import { type RollupReader, rollUp, rollupReader } from './rollup.ts'
import type { Bucket } from './rollup-block.ts'
import { type TagState, TagStates } from './tags.ts'
import { Tail } from './tail.ts'

export interface EmbeddedHistorianOptions {
  /** folder of the historian's own database */
  readonly folder: string
  readonly clock: Clock
  readonly ticker: Ticker
  readonly log: Logger
  /** raw readings are kept this long */
  readonly rawDays: number
  /** the database takes no more than this; the oldest raw readings go first */
  readonly maxBytes: number
  /** bytes free for the folder's file system; default: asks the file system */
  readonly freeBytes?: () => number
  /** readings held in memory at most; then the oldest tails are written early */
  readonly maxTailReadings?: number
  /** a tail is written after this time even if it is small, so that the inbox can be trimmed */
  readonly maxTailAgeMs?: number
  /** how full the inbox is, 0 to 1: while there is plenty of room, `flush` may leave young tails to grow into good chunks */
  readonly inboxShare?: () => number
}

/** So many full tails are written at once, so many at most in one transaction: it holds everything up while it runs. */
const tailsPerCommit = 64
const mostTailsPerCommit = 512
const roomyInbox = 0.25
const commitEveryMs = 1_000
const houseKeepingMs = 10_000

/**
 * The historian of one machine: a consumer of the inbox that keeps the newest readings of each tag in memory and writes them
 * as chunks of 256 into one SQLite file. The inbox is its log: what was in memory at a crash is read from there again.
 */
export class EmbeddedHistorian implements Consumer, Historian {
  readonly name = 'historian'
  readonly #db: Db
  readonly #statements: HistorianStatements
  readonly #options: EmbeddedHistorianOptions
  readonly #tags: TagStates
  readonly #writer: ChunkWriter
  readonly #retention: Retention
  readonly #rollups: RollupReader
  /** tags with a tail, oldest tail first: each enters when its tail begins */
  readonly #tailed = new Set<TagState>()
  readonly #due = new Set<TagState>()
  #tailReadings = 0
  /** next position to apply */
  #applied: number
  #cursor: number
  #committedAt: number
  #failure: string | null = null
  #cancelTimer: Cancel = () => undefined
  #working = false
  #closed = false

  private constructor(db: Db, options: EmbeddedHistorianOptions) {
    this.#db = db
    this.#options = options
    this.#statements = historianStatements(db)
    this.#tags = TagStates.load(this.#statements)
    this.#writer = new ChunkWriter(db, this.#statements, options.clock)
    this.#retention = new Retention(db, this.#statements, options)
    this.#rollups = rollupReader(this.#statements)
    this.#cursor = this.#statements.cursor.get() ?? 0
    this.#applied = this.#cursor
    this.#committedAt = options.ticker.now()
  }

  static open(options: EmbeddedHistorianOptions): EmbeddedHistorian {
    const db = openHistorianDatabase(`${options.folder}/historian.sqlite`)
    const historian = new EmbeddedHistorian(db, options)
    historian.#retention.check()
    historian.#schedule()
    return historian
  }

  get cursor(): number {
    return this.#cursor
  }

  /** One past the newest inbox position that a chunk holds; an inbox that was put back must number on from here. */
  get reach(): number {
    let reach = this.#cursor
    for (const state of this.#tags.values()) reach = Math.max(reach, state.upto)
    return reach
  }

  async apply(records: readonly InboxRecord[]): Promise<void> {
    this.#alive()
    this.#makeRoom()
    for (const { position, entry } of records) {
      if (position < this.#applied) continue
      if (entry.kind === 'batch' || entry.kind === 'live') {
        for (const { tag, value, quality, reason, sourceTimestamp } of entry.readings) {
          // Births list retired tags only so that their backlog has a name; there is no reading behind them.
          if (reason === 'retired') continue
          this.#add(tag, position, { value, quality, reason, sourceTimestamp })
        }
      }
      this.#applied = position + 1
    }
    const now = this.#options.ticker.now()
    if (this.#due.size >= tailsPerCommit || now - this.#committedAt >= commitEveryMs) this.#commitDue()
    else if (this.#tailed.size === 0) this.#cursor = this.#applied
  }

  /**
   * Writes all tails; afterwards `cursor` is the end of what was applied. While the inbox has plenty of room, only what is due:
   * chunks of a few readings would cost more than the room in the inbox.
   */
  async flush(): Promise<void> {
    this.#alive()
    if ((this.#options.inboxShare?.() ?? 1) < roomyInbox) this.#commitDue()
    else await this.#writeAll()
  }

  async query(
    tag: string,
    from: number,
    to: number,
    limit: number,
  ): Promise<{ readings: StoredReading[]; next: number | null }> {
    this.#alive()
    const state = this.#tags.find(tag)
    if (!state) return { readings: [], next: null }
    return readRange(this.#statements, state, from, to, limit)
  }

  /** Minutes or hours of a tag: the computed ones, and the newest straight from the readings. */
  async trend(tag: string, from: number, to: number, stepMs: number): Promise<Bucket[]> {
    this.#alive()
    const state = this.#tags.find(tag)
    return state ? this.#rollups.read(state, from, to, stepMs) : []
  }

  /** `full`: the gateway must stop confirming; `low`: the oldest raw readings are being deleted. */
  storageState(): StorageState {
    return this.#failure === null ? this.#retention.state : 'full'
  }

  /** What is wrong with the storage, in words; null if nothing. */
  problem(): string | null {
    return this.#failure ?? this.#retention.problem
  }

  get bytes(): number {
    return this.#retention.bytes
  }

  get stats(): { tags: number; tailReadings: number; tails: number } {
    return { tags: this.#tags.size, tailReadings: this.#tailReadings, tails: this.#tailed.size }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#cancelTimer()
    try {
      await this.#writeAll()
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the last readings stay in the inbox')
    }
    this.#closed = true
    this.#db.close()
  }

  #add(tag: string, position: number, reading: StoredReading): void {
    const state = this.#tags.of(tag)
    if (position < state.upto) return
    if (!state.tail) {
      state.tail = new Tail(position, this.#options.ticker.now())
      this.#tailed.add(state)
    }
    if (state.tail.add(reading.sourceTimestamp, reading.value, reading.quality, reading.reason)) this.#tailReadings++
    if (state.tail.size >= chunkReadings) this.#due.add(state)
  }

  async #writeAll(): Promise<void> {
    do {
      this.#write(this.#oldest(() => true))
      await turn()
    } while (this.#tailed.size > 0 && !this.#closed)
  }

  /** When memory is full the oldest tails are written; if that fails, nothing more is taken. */
  #makeRoom(): void {
    const bound = this.#options.maxTailReadings ?? 2_000_000
    while (this.#tailReadings >= bound) this.#write(this.#oldest(() => true))
  }

  /** Writes full and old tails, at most one transaction full of them; what is left comes next time. */
  #commitDue(): void {
    const due = [...this.#due].slice(0, mostTailsPerCommit)
    const oldest = this.#options.ticker.now() - (this.#options.maxTailAgeMs ?? 600_000)
    const old = this.#oldest(state => (state.tail?.openedAt ?? oldest) <= oldest, mostTailsPerCommit - due.length)
    try {
      this.#write([...new Set([...due, ...old])])
    } catch (error) {
      // Nothing is lost: the tails stay in memory and in the inbox; `storageState` stops the confirmations.
      this.#options.log.warn({ err: error }, 'writing chunks failed')
    }
  }

  /** The oldest tails, as long as they are wanted. */
  #oldest(isWanted: (state: TagState) => boolean, limit = mostTailsPerCommit): TagState[] {
    const oldest: TagState[] = []
    for (const state of this.#tailed) {
      if (oldest.length >= limit || !isWanted(state)) break
      oldest.push(state)
    }
    return oldest
  }

  #write(states: readonly TagState[]): void {
    const leaving = new Set(states)
    let cursor = this.#applied
    for (const state of this.#tailed) {
      if (leaving.has(state)) continue
      cursor = state.tail?.firstPosition ?? cursor
      break
    }
    this.#committedAt = this.#options.ticker.now()
    if (states.length === 0 && cursor === this.#cursor) return
    const size = states.reduce((sum, state) => sum + (state.tail?.size ?? 0), 0)
    try {
      this.#writer.write(states, this.#applied, cursor)
      this.#failure = null
    } catch (error) {
      this.#failure = `the historian cannot write: ${(error as Error).message}`
      throw new PenstockError('disk-full', { path: this.#options.folder }, { cause: error })
    }
    this.#cursor = cursor
    this.#tailReadings -= size
    for (const state of states) {
      this.#tailed.delete(state)
      this.#due.delete(state)
    }
  }

  #schedule(): void {
    this.#cancelTimer = this.#options.ticker.after(houseKeepingMs, () => {
      this.houseKeeping()
        .catch(error => this.#options.log.warn({ err: error }, 'house-keeping of the historian failed'))
        .finally(() => {
          if (!this.#closed) this.#schedule()
        })
    })
  }

  /** Writes old tails, deletes what is too old or too much, computes minutes and hours. Runs by itself every 10 s. */
  async houseKeeping(): Promise<void> {
    if (this.#working || this.#closed) return
    this.#working = true
    try {
      this.#commitDue()
      const open = () => !this.#closed
      await this.#retention.run(open)
      if (this.#retention.state === 'ok') await rollUp(this.#db, this.#statements, this.#tags, this.#options, open)
    } finally {
      this.#working = false
    }
  }

  #alive(): void {
    if (this.#closed) throw new PenstockError('closed', { what: 'the historian' })
  }
}
