import { type Quality, qualities, type Reason, reasons } from '../reading.ts'

const none = 255

/**
 * What the engine knows of each tag, as columns: one row per tag that a rule reads.
 * `lo` and `hi` bound the quiet zone: a good value strictly inside can change no alarm of the tag (see `quietZone`).
 */
export class TagColumns {
  readonly tags: string[] = []
  /** quiet zone; empty (lo = +∞) while anything about the tag is not at rest */
  lo = new Float64Array(0)
  hi = new Float64Array(0)
  /** source time of the newest live reading */
  source = new Float64Array(0)
  /** source time of the newest reading of the durable lane */
  durable = new Float64Array(0)
  /** event time of the newest live reading, gateway's clock; never goes back */
  time = new Float64Array(0)
  /** engine clock when the newest reading that was not bad came in */
  received = new Float64Array(0)
  /** NaN when there is none */
  value = new Float64Array(0)
  quality = new Uint8Array(0)
  reason = new Uint8Array(0)
  /** 1 while a record instance runs beside the live one */
  forked = new Uint8Array(0)
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
    if (row >= this.lo.length) this.#grow()
    this.lo[row] = Number.POSITIVE_INFINITY
    this.hi[row] = Number.NEGATIVE_INFINITY
    this.source[row] = Number.NEGATIVE_INFINITY
    this.durable[row] = Number.NEGATIVE_INFINITY
    this.time[row] = Number.NEGATIVE_INFINITY
    this.received[row] = Number.NEGATIVE_INFINITY
    this.value[row] = Number.NaN
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
    const value = this.value[row] ?? Number.NaN
    return Number.isNaN(value) ? null : value
  }

  setQuality(row: number, quality: Quality, reason: Reason | null): void {
    this.quality[row] = qualityCode[quality]
    this.reason[row] = reason === null ? none : reasonCode[reason]
  }

  #grow(): void {
    const size = Math.max(1_024, this.lo.length * 2)
    const wider = (column: Float64Array): Float64Array<ArrayBuffer> => {
      const next = new Float64Array(size)
      next.set(column)
      return next
    }
    const widerBytes = (column: Uint8Array): Uint8Array<ArrayBuffer> => {
      const next = new Uint8Array(size)
      next.set(column)
      return next
    }
    this.lo = wider(this.lo)
    this.hi = wider(this.hi)
    this.source = wider(this.source)
    this.durable = wider(this.durable)
    this.time = wider(this.time)
    this.received = wider(this.received)
    this.value = wider(this.value)
    this.quality = widerBytes(this.quality)
    this.reason = widerBytes(this.reason)
    this.forked = widerBytes(this.forked)
  }
}

const codes = <T extends string>(names: readonly T[]): Readonly<Record<T, number>> =>
  Object.fromEntries(names.map((name, code) => [name, code])) as Record<T, number>

const qualityCode = codes(qualities)
const reasonCode = codes(reasons)
