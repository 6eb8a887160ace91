import type { Clock } from '@penstock/core/runtime/clock.ts'
import { decodeChunk, encodeChunk } from './chunk.ts'
import { chunkReadings, type Db, type HistorianStatements } from './database.ts'
import type { StoredReading } from './historian.ts'
import type { TagState } from './tags.ts'
import { mergeReadings } from './tail.ts'

/** So many readings are worth a chunk of their own; fewer are added to an open one, which is then written anew. */
const ownChunkReadings = 32

interface Written {
  readonly state: TagState
  readonly id: number
  readonly open: number | null
  readonly rolled: number | null
}

/**
 * Writes tails as chunks, with the positions that they reach and the cursor, in one transaction: after a crash each reading
 * is either in a chunk or read again from the inbox, never both.
 */
export class ChunkWriter {
  readonly #db: Db
  readonly #statements: HistorianStatements
  readonly #clock: Clock

  constructor(db: Db, statements: HistorianStatements, clock: Clock) {
    this.#db = db
    this.#statements = statements
    this.#clock = clock
  }

  /**
   * @param upto inbox position below which everything of these tags is in their tails
   * @param cursor inbox position below which everything of all tags is in chunks, once this is written
   * @throws SqliteError; then nothing has changed, on disk or in `states`
   */
  write(states: readonly TagState[], upto: number, cursor: number): void {
    const written = this.#db.transaction(() => {
      const rows = states.map(state => this.#writeTag(state, upto))
      this.#statements.setCursor.run(cursor)
      return rows
    })()
    for (const { state, id, open, rolled } of written) Object.assign(state, { id, open, rolled, upto, tail: null })
  }

  #writeTag(state: TagState, upto: number): Written {
    const readings = state.tail?.readings() ?? []
    const id = state.id === 0 ? Number(this.#statements.addTag.run(state.name).lastInsertRowid) : state.id
    const first = readings[0]
    const rolled =
      first && state.rolled !== null && first.sourceTimestamp < state.rolled ? first.sourceTimestamp : state.rolled
    const open = readings.length === 0 ? state.open : this.#writeReadings(id, state.open, readings)
    this.#statements.setTag.run(upto, open, rolled, id)
    return { state, id, open, rolled }
  }

  /** Fills up the open chunk of the tag, or begins a new one. Returns the chunk that is to be filled up later. */
  #writeReadings(tag: number, open: number | null, readings: readonly StoredReading[]): number | null {
    const before =
      open === null || readings.length >= ownChunkReadings ? undefined : this.#statements.openChunk.get(open, tag)
    const all = before === undefined ? readings : mergeReadings([decodeChunk(before), readings])
    const first = all[0]?.sourceTimestamp ?? 0
    const last = all.at(-1)?.sourceTimestamp ?? 0
    const keep = Math.min(last, this.#clock.now())
    const blob = encodeChunk(all)
    const full = all.length >= ownChunkReadings && (before === undefined || all.length >= chunkReadings)
    if (open !== null && before !== undefined) {
      this.#statements.fillChunk.run(first, last, all.length, keep, blob, open)
      return full ? null : open
    }
    const { lastInsertRowid } = this.#statements.addChunk.run(tag, first, last, all.length, keep, blob)
    return full ? null : Number(lastInsertRowid)
  }
}
