import { existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '@penstock/core/runtime/clock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { Db, HistorianStatements } from './database.ts'
import { minuteMs } from './rollup-block.ts'

/** `low`: the oldest raw readings are deleted before their time; `full`: nothing more may be confirmed. */
export type StorageState = 'ok' | 'low' | 'full'

export interface RetentionOptions {
  readonly folder: string
  readonly clock: Clock
  readonly log: Logger
  readonly rawDays: number
  readonly maxBytes: number
  readonly freeBytes?: () => number
}

const dayMs = 86_400_000
const minuteDays = 400
const lowShare = 0.9
const fullShare = 0.97
/** deletion goes on until this share, so that it does not start again at once */
const enoughShare = 0.88
const rowsPerStep = 200
/** SQLite needs room to delete: this file is given up when the disk is full (a DELETE fails with SQLITE_FULL, too). */
const reserveBytes = 8 * 2 ** 20

/** Keeps the raw readings within their days and the database within its bytes; says when the disk is nearly full. */
export class Retention {
  readonly #db: Db
  readonly #statements: HistorianStatements
  readonly #options: RetentionOptions
  readonly #reserve: string
  #state: StorageState = 'ok'
  #bytes = 0
  #share = 0
  #earlyAt = Number.NEGATIVE_INFINITY

  constructor(db: Db, statements: HistorianStatements, options: RetentionOptions) {
    this.#db = db
    this.#statements = statements
    this.#options = options
    this.#reserve = `${options.folder}/reserve`
  }

  get state(): StorageState {
    return this.#state
  }

  /** bytes in use inside the database */
  get bytes(): number {
    return this.#bytes
  }

  get problem(): string | null {
    const percent = Math.round(this.#share * 100)
    if (this.#state === 'full')
      return `the disk is full (${percent} %): nothing is confirmed, the edges keep their readings`
    if (this.#state === 'low') return `the disk is nearly full (${percent} %): the oldest readings are being deleted`
    if (this.#options.clock.now() - this.#earlyAt > dayMs) return null
    const oldest = this.#statements.oldest.get()
    const since = oldest == null ? 'none are left' : `they begin at ${new Date(oldest).toISOString()}`
    return `readings were deleted before their ${this.#options.rawDays} days, to save space; ${since}`
  }

  /** Measures and sets `state`. */
  check(): void {
    this.#bytes = this.#pages('page_count') - this.#pages('freelist_count')
    const free = this.#options.freeBytes?.() ?? freeBytesOf(this.#options.folder)
    // Free pages inside the file are room as well.
    const room = free + this.#pages('freelist_count')
    this.#share = this.#bytes / Math.min(this.#options.maxBytes, this.#bytes + room)
    if (this.#share >= fullShare) this.#state = 'full'
    else if (this.#share >= lowShare) this.#state = 'low'
    else if (this.#share < enoughShare || this.#state === 'full') this.#state = 'ok'
    if (this.#state === 'ok') this.#keepReserve()
  }

  /** Deletes what is older than its days, then what is too much. `open` turns false when the historian closes. */
  async run(open: () => boolean): Promise<void> {
    this.check()
    const now = this.#options.clock.now()
    let deleted = 0
    const rawEnd = now - this.#options.rawDays * dayMs
    for (let count = rowsPerStep; count === rowsPerStep && open(); deleted += count) {
      count = this.#delete(() => this.#statements.dropBefore.run(rawEnd, rowsPerStep).changes)
      await turn()
    }
    const minuteEnd = now - minuteDays * dayMs
    for (let count = rowsPerStep; count === rowsPerStep && open(); deleted += count) {
      count = this.#delete(() => this.#statements.dropRollups.run(minuteMs, minuteEnd, rowsPerStep).changes)
      await turn()
    }
    if (deleted > 0 && open()) this.#giveBack()
    while (this.#state !== 'ok' && open()) {
      const rows = this.#rowsTooMany()
      const count = this.#delete(() => this.#statements.dropBefore.run(Number.MAX_SAFE_INTEGER, rows).changes)
      if (count === 0) break
      this.#earlyAt = now
      this.#giveBack()
      await turn()
    }
  }

  /** The oldest chunks that make up what is too much, at most one step of them. */
  #rowsTooMany(): number {
    let excess = this.#bytes * (1 - enoughShare / this.#share)
    let rows = 0
    for (const size of this.#statements.oldestSizes.iterate(rowsPerStep)) {
      rows++
      excess -= size
      if (excess <= 0) break
    }
    return rows
  }

  #delete(run: () => number): number {
    try {
      return this.#db.transaction(run)()
    } catch (error) {
      if (!existsSync(this.#reserve)) throw error
      rmSync(this.#reserve, { force: true })
      this.#options.log.warn({ err: error }, 'no room to delete; the reserve was given up')
      return this.#db.transaction(run)()
    }
  }

  /** Gives pages back to the file system and measures again. */
  #giveBack(): void {
    this.#db.pragma('incremental_vacuum(4000)')
    this.#db.pragma('wal_checkpoint(PASSIVE)')
    this.check()
  }

  #keepReserve(): void {
    if (existsSync(this.#reserve)) return
    try {
      writeFileSync(this.#reserve, Buffer.alloc(Math.min(reserveBytes, this.#options.maxBytes / 100)))
    } catch (error) {
      rmSync(this.#reserve, { force: true })
      this.#options.log.warn({ err: error }, 'no room for the reserve')
    }
  }

  #pages(name: 'page_count' | 'freelist_count'): number {
    return Number(this.#db.pragma(name, { simple: true })) * Number(this.#db.pragma('page_size', { simple: true }))
  }
}

function freeBytesOf(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}
