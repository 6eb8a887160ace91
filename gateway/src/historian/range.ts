import { decodeChunk } from './chunk.ts'
import type { HistorianStatements } from './database.ts'
import type { StoredReading } from './historian.ts'
import type { TagState } from './tags.ts'
import { mergeReadings } from './tail.ts'

const within = (readings: readonly StoredReading[], from: number, to: number): StoredReading[] =>
  readings.filter(reading => reading.sourceTimestamp >= from && reading.sourceTimestamp < to)

/**
 * Readings of a tag with from ≤ source time < to from chunks and tail, merged in order, repeats dropped. Chunks are read
 * only as far as `limit` needs. `next` is the source time to go on from; readings of one stamp are never divided
 * between two answers (only more than `limit` readings of a single stamp make an answer longer than `limit`).
 */
export function readRange(
  statements: HistorianStatements,
  state: TagState,
  from: number,
  to: number,
  limit: number,
): { readings: StoredReading[]; next: number | null } {
  const tail = within(state.tail?.readings() ?? [], from, to)
  const chunks = state.id === 0 ? [] : statements.chunksOf.all(state.id, from, to)
  let merged: StoredReading[] = []
  for (const [index, chunk] of chunks.entries()) {
    // Everything before the first stamp of this chunk has been read from the earlier ones.
    if (countBefore(merged, chunk.first) > limit) return cut(mergeReadings([merged, tail]), limit)
    const blob = statements.chunk.get(chunk.id)
    if (blob) merged = mergeOrAppend(merged, within(decodeChunk(blob), from, to), index)
  }
  return cut(mergeReadings([merged, tail]), limit)
}

function mergeOrAppend(merged: StoredReading[], readings: StoredReading[], index: number): StoredReading[] {
  const last = merged.at(-1)
  const first = readings[0]
  if (index > 0 && last && first && first.sourceTimestamp <= last.sourceTimestamp)
    return mergeReadings([merged, readings])
  for (const reading of readings) merged.push(reading)
  return merged
}

function countBefore(merged: readonly StoredReading[], time: number): number {
  let count = merged.length
  while (count > 0 && (merged[count - 1]?.sourceTimestamp ?? 0) >= time) count--
  return count
}

function cut(readings: StoredReading[], limit: number): { readings: StoredReading[]; next: number | null } {
  const beyond = readings[limit]
  if (!beyond) return { readings, next: null }
  let end = limit
  while (end > 0 && readings[end - 1]?.sourceTimestamp === beyond.sourceTimestamp) end--
  if (end === 0) while (readings[end]?.sourceTimestamp === beyond.sourceTimestamp) end++
  return { readings: readings.slice(0, end), next: readings[end]?.sourceTimestamp ?? null }
}
