import type { Value } from '@penstock/core/reading.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { StoredReading } from './historian.ts'

export const minuteMs = 60_000
export const hourMs = 3_600_000
export const dayMs = 86_400_000
/** buckets of one stored block: a day of minutes, sixty days of hours */
export const blockBuckets = 1440

/** Good and uncertain numbers of one tag in [start, start + step); Booleans count as 0 and 1. */
export interface Bucket {
  readonly start: number
  readonly count: number
  readonly mean: number
  readonly min: number
  readonly max: number
  readonly last: number
}

export const floorTo = (time: number, step: number): number => Math.floor(time / step) * step

function numberOf(value: Value | null): number | null {
  if (value === null || typeof value === 'string') return null
  return Number(value)
}

/** @param readings ascending by source time */
export function bucketsOf(readings: readonly StoredReading[], stepMs: number): Bucket[] {
  const buckets: Bucket[] = []
  let numbers: number[] = []
  let start = Number.NaN
  for (const { sourceTimestamp, value } of readings) {
    const number = numberOf(value)
    if (number === null) continue
    const at = floorTo(sourceTimestamp, stepMs)
    if (at !== start) {
      if (numbers.length > 0) buckets.push(bucketOf(start, numbers))
      start = at
      numbers = []
    }
    numbers.push(number)
  }
  if (numbers.length > 0) buckets.push(bucketOf(start, numbers))
  return buckets
}

function bucketOf(start: number, numbers: readonly number[]): Bucket {
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  let sum = 0
  for (const number of numbers) {
    min = Math.min(min, number)
    max = Math.max(max, number)
    sum += number
  }
  // Rounding of the sum must not put the mean outside of what was measured.
  const mean = Math.min(max, Math.max(min, sum / numbers.length))
  return { start, count: numbers.length, mean, min, max, last: numbers.at(-1) ?? 0 }
}

const version = 1
const writer = new ByteWriter()

/** Buckets of one block as a blob: per bucket the gap to the one before, the count, and one number if all four are equal. */
export function encodeBlock(buckets: readonly Bucket[], stepMs: number): Buffer {
  writer.byte(version)
  writer.varint(buckets.length)
  let before = floorTo(buckets[0]?.start ?? 0, stepMs * blockBuckets) / stepMs
  for (const { start, count, mean, min, max, last } of buckets) {
    writer.varint(start / stepMs - before)
    before = start / stepMs
    writer.varint(count)
    const steady = mean === min && min === max && max === last
    writer.byte(steady ? 1 : 0)
    for (const number of steady ? [mean] : [mean, min, max, last]) writer.float64(number)
  }
  return writer.take()
}

/** @param blockStart start of the block, ms UTC */
export function decodeBlock(blob: Uint8Array, blockStart: number, stepMs: number): Bucket[] {
  const reader = new ByteReader(blob)
  const found = reader.byte()
  if (found !== version) throw new RangeError(`block of version ${found}`)
  let index = blockStart / stepMs
  return Array.from({ length: reader.varint() }, () => {
    index += reader.varint()
    const start = index * stepMs
    const count = reader.varint()
    const steady = reader.byte() === 1
    const mean = reader.float64()
    if (steady) return { start, count, mean, min: mean, max: mean, last: mean }
    return { start, count, mean, min: reader.float64(), max: reader.float64(), last: reader.float64() }
  })
}
