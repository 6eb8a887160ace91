import { setImmediate as turn } from 'node:timers/promises'
import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Db, HistorianStatements } from './database.ts'
import { readRange } from './range.ts'
import {
  type Bucket,
  blockBuckets,
  bucketsOf,
  dayMs,
  decodeBlock,
  encodeBlock,
  floorTo,
  hourMs,
  minuteMs,
} from './rollup-block.ts'
import type { TagState, TagStates } from './tags.ts'

export interface RollupOptions {
  readonly clock: Clock
  readonly ticker: Ticker
  readonly rawDays: number
}

/** A day is computed two hours after its end; what comes later makes it be computed again. */
const graceMs = 2 * hourMs
const sliceMs = 25

/** Computes minutes and hours of the days (UTC) that are complete, in slices that leave the event loop free. */
export async function rollUp(
  db: Db,
  statements: HistorianStatements,
  tags: TagStates,
  options: RollupOptions,
  open: () => boolean,
): Promise<void> {
  const end = floorTo(options.clock.now() - graceMs, dayMs)
  const pending = [...tags.values()].filter(state => state.id !== 0 && (state.rolled ?? Number.NEGATIVE_INFINITY) < end)
  while (pending.length > 0 && open()) {
    const until = options.ticker.now() + sliceMs
    const done = db.transaction(() => {
      const rolled = new Map<TagState, number>()
      while (pending.length > 0 && options.ticker.now() < until) {
        const state = pending.at(-1)
        if (!state) break
        const reached = rollDay(statements, state, rolled.get(state) ?? state.rolled, end, options)
        rolled.set(state, reached)
        statements.setRolled.run(reached, state.id)
        if (reached >= end) pending.pop()
      }
      return rolled
    })()
    for (const [state, reached] of done) state.rolled = reached
    await turn()
  }
}

/** Rolls the next day that has readings; returns the source time below which everything is rolled now. */
function rollDay(
  statements: HistorianStatements,
  state: TagState,
  rolled: number | null,
  end: number,
  options: RollupOptions,
): number {
  const from = rolled ?? -Number.MAX_SAFE_INTEGER
  const first = firstReading(statements, state, from, end)
  if (first === null) return end
  const day = floorTo(first, dayMs)
  const { readings } = readRange(statements, state, day, day + dayMs, Number.POSITIVE_INFINITY)
  // Of a day whose raw readings are partly deleted only what is missing is added.
  const complete = day >= options.clock.now() - options.rawDays * dayMs
  store(statements, state.id, minuteMs, bucketsOf(readings, minuteMs), day, complete)
  store(statements, state.id, hourMs, bucketsOf(readings, hourMs), day, complete)
  return day + dayMs
}

function firstReading(statements: HistorianStatements, state: TagState, from: number, to: number): number | null {
  const { readings } = readRange(statements, state, from, to, 1)
  return readings[0]?.sourceTimestamp ?? null
}

function store(
  statements: HistorianStatements,
  tag: number,
  stepMs: number,
  fresh: readonly Bucket[],
  day: number,
  replace: boolean,
): void {
  const blockStart = floorTo(day, stepMs * blockBuckets)
  const old = readBlock(statements, tag, stepMs, blockStart)
  const starts = new Set(fresh.map(bucket => bucket.start))
  const inDay = (bucket: Bucket) => bucket.start >= day && bucket.start < day + dayMs
  const kept = old.filter(bucket => (replace ? !inDay(bucket) : true))
  const known = new Set(kept.map(bucket => bucket.start))
  const all = [...kept, ...fresh.filter(bucket => !known.has(bucket.start))].sort((a, b) => a.start - b.start)
  if (all.length > 0 && starts.size > 0) statements.setRollup.run(tag, stepMs, blockStart, encodeBlock(all, stepMs))
}

function readBlock(statements: HistorianStatements, tag: number, stepMs: number, blockStart: number): Bucket[] {
  const blob = statements.rollup.get(tag, stepMs, blockStart)
  return blob ? decodeBlock(blob, blockStart, stepMs) : []
}

export interface RollupReader {
  /** Buckets with from ≤ start < to, ascending; `from` is taken down to a whole step. */
  read(state: TagState, from: number, to: number, stepMs: number): Bucket[]
}

/** Reads stored blocks as far as they are computed and the rest from the readings. */
export const rollupReader = (statements: HistorianStatements): RollupReader => ({
  read(state, from, to, stepMs) {
    const start = floorTo(from, stepMs)
    const rolled = floorTo(state.rolled ?? -Number.MAX_SAFE_INTEGER, dayMs)
    const buckets: Bucket[] = []
    const storedEnd = Math.min(to, rolled)
    for (let block = floorTo(start, stepMs * blockBuckets); block < storedEnd; block += stepMs * blockBuckets) {
      for (const bucket of readBlock(statements, state.id, stepMs, block)) {
        if (bucket.start >= start && bucket.start < storedEnd) buckets.push(bucket)
      }
    }
    const liveStart = Math.max(start, rolled)
    if (liveStart < to) {
      const { readings } = readRange(statements, state, liveStart, to, Number.POSITIVE_INFINITY)
      buckets.push(...bucketsOf(readings, stepMs))
    }
    return buckets
  },
})
