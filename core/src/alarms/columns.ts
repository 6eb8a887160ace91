import { type Quality, qualities, type Reason, reasons } from '../reading.ts'

const none = 255

/** Numbers of one tag, side by side: 64 bytes, so that a reading touches one cache line. */
export const stride = 8

/** Places of the numbers of a tag; `cells[row * stride + cell.time]`. */
export const cell = {
  /** quiet zone; empty (lo = +∞) while anything about the tag is not at rest */
  lo: 0,
  hi: 1,
  /** source time of the newest live reading */
  source: 2,
  /** source time of the newest reading of the durable lane */
  durable: 3,
  /** event time of the newest live reading, gateway's clock; never goes back */
  time: 4,
  /** engine clock when the newest reading that was not bad came in */
  received: 5,
  /** NaN when there is none */
  value: 6,
  /** 1 while a record instance runs beside the live one */
  forked: 7,
} as const

/** An element that is known to exist: on the way of every reading the check for a missing one costs a third of the rate. */
export const numberAt = (column: Float64Array, place: number): number => column[place] as number

/**
 * What the engine knows of each tag: one row per tag that a rule reads.
 * `lo` and `hi` bound the quiet zone: a good value strictly inside can change no alarm of the tag (see `quietZone`).
 */
export class TagColumns {
  readonly tags: string[] = []
  cells = new Float64Array(0)
  quality = new Uint8Array(0)
  reason = new Uint8Array(0)
  readonly #index = new Map<string, number>()

  get size(): number {
    return this.tags.length
  }

  /** Row of a tag; −1 for a tag known to concern no rule, undefined for one never seen. */
  find(tag: string): number | undefined {
    return this.#index.get(tag)
  }

  ignore(tag: string): void {
    this.#index.set(tag, -1)
  }

  /** Asks again about all tags that concerned no rule. */
  forgetIgnored(): void {
    for (const [tag, row] of this.#index) if (row < 0) this.#index.delete(tag)
  }

  add(tag: string): number {
    const row = this.tags.length
    this.tags.push(tag)
    this.#index.set(tag, row)
    if (row >= this.quality.length) this.#grow()
    const infinity = Number.POSITIVE_INFINITY
    this.cells.set([infinity, -infinity, -infinity, -infinity, -infinity, -infinity, Number.NaN, 0], row * stride)
    this.quality[row] = none
    this.reason[row] = none
    return row
  }

  qualityOf(row: number): Quality | null {
    return qualities[this.quality[row] ?? none] ?? null
  }

  reasonOf(row: number): Reason | null {
    return reasons[this.reason[row] ?? none] ?? null
  }

  valueOf(row: number): number | null {
    const value = this.cells[row * stride + cell.value] ?? Number.NaN
    return Number.isNaN(value) ? null : value
  }

  setQuality(row: number, quality: Quality, reason: Reason | null): void {
    this.quality[row] = qualityCode[quality]
    this.reason[row] = reason === null ? none : reasonCode[reason]
  }

  #grow(): void {
    const size = Math.max(1_024, this.quality.length * 2)
    const cells = new Float64Array(size * stride)
    cells.set(this.cells)
    this.cells = cells
    const quality = new Uint8Array(size)
    quality.set(this.quality)
    this.quality = quality
    const reason = new Uint8Array(size)
    reason.set(this.reason)
    this.reason = reason
  }
}

const codes = <T extends string>(names: readonly T[]): Readonly<Record<T, number>> =>
  Object.fromEntries(names.map((name, code) => [name, code])) as Record<T, number>

const qualityCode = codes(qualities)
const reasonCode = codes(reasons)
