import type { Quality, Reason, Value } from '@penstock/core/reading.ts'
import type { StoredReading } from './historian.ts'

/** Source times are kept within ±2^52 ms (the year 144 000), so that differences stay exact. */
const farthest = 2 ** 52 - 1

const sameValue = (a: Value | null, b: Value | null): boolean => Object.is(a, b)

/** A repeat of the same time, value and quality is the same reading. */
export const isSame = (a: StoredReading, b: StoredReading): boolean =>
  a.sourceTimestamp === b.sourceTimestamp &&
  a.quality === b.quality &&
  a.reason === b.reason &&
  sameValue(a.value, b.value)

/** The newest readings of one tag that are in no chunk yet. In columns: about 30 bytes a reading. */
export class Tail {
  /** position in the inbox of the oldest reading */
  readonly firstPosition: number
  /** machine time of the oldest reading */
  readonly openedAt: number
  readonly #times: number[] = []
  readonly #values: (Value | null)[] = []
  readonly #qualities: Quality[] = []
  readonly #reasons: (Reason | null)[] = []
  #newest = Number.NEGATIVE_INFINITY
  #sorted = true

  constructor(firstPosition: number, openedAt: number) {
    this.firstPosition = firstPosition
    this.openedAt = openedAt
  }

  get size(): number {
    return this.#times.length
  }

  /** Returns false for a repeat, which is not kept. */
  add(sourceTimestamp: number, value: Value | null, quality: Quality, reason: Reason | null): boolean {
    const time = Math.min(farthest, Math.max(-farthest, Math.round(sourceTimestamp)))
    if (time <= this.#newest) {
      if (this.#has(time, value, quality, reason)) return false
      if (time < this.#newest) this.#sorted = false
    } else this.#newest = time
    this.#times.push(time)
    this.#values.push(value)
    this.#qualities.push(quality)
    this.#reasons.push(reason)
    return true
  }

  /** Ascending by source time, equal stamps in order of arrival. */
  readings(): StoredReading[] {
    const readings = this.#times.map((_, index) => this.#at(index))
    return this.#sorted ? readings : readings.sort((a, b) => a.sourceTimestamp - b.sourceTimestamp)
  }

  #at(index: number): StoredReading {
    return {
      sourceTimestamp: this.#times[index] ?? 0,
      value: this.#values[index] ?? null,
      quality: this.#qualities[index] ?? 'bad',
      reason: this.#reasons[index] ?? null,
    }
  }

  #has(time: number, value: Value | null, quality: Quality, reason: Reason | null): boolean {
    for (let index = this.#times.length - 1; index >= 0; index--) {
      const found = this.#times[index] ?? 0
      // In order of time nothing further back can be equal.
      if (this.#sorted && found < time) return false
      if (
        found === time &&
        this.#qualities[index] === quality &&
        this.#reasons[index] === reason &&
        sameValue(this.#values[index] ?? null, value)
      )
        return true
    }
    return false
  }
}

/** Merges runs that are each ascending (earlier runs hold earlier arrivals) and drops repeats. */
export function mergeReadings(runs: readonly (readonly StoredReading[])[]): StoredReading[] {
  const all = runs.length === 1 ? [...(runs[0] ?? [])] : runs.flat()
  all.sort((a, b) => a.sourceTimestamp - b.sourceTimestamp)
  const merged: StoredReading[] = []
  let sameTime = 0
  for (const reading of all) {
    if (merged.at(-1)?.sourceTimestamp !== reading.sourceTimestamp) sameTime = merged.length
    let repeat = false
    for (let index = sameTime; index < merged.length && !repeat; index++) {
      const other = merged[index]
      repeat = other !== undefined && isSame(other, reading)
    }
    if (!repeat) merged.push(reading)
  }
  return merged
}
