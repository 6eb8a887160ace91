import type { Quality, Reason, Value } from '@penstock/core/reading.ts'

/** One stored reading of a tag. Key: (tag, sourceTimestamp, ordinal of equal stamps with different values). */
export interface StoredReading {
  readonly sourceTimestamp: number
  readonly value: Value | null
  readonly quality: Quality
  readonly reason: Reason | null
}

/** Readings by tag and time. Two implementations share one contract suite: embedded (here) and InfluxDB. */
export interface Historian {
  /** Readings of one tag with from ≤ source time < to, ascending, at most `limit` (the first ones); `next` continues. */
  query(
    tag: string,
    from: number,
    to: number,
    limit: number,
  ): Promise<{ readings: StoredReading[]; next: number | null }>
}
