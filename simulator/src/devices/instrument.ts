import type { Unit } from '../modbus/unit.ts'

/** One line of the register table that the simulator prints. */
export interface MapLine {
  /** wire address, 0-based */
  readonly address: number
  readonly type: string
  readonly meaning: string
}

/** The totalizer of an instrument, for comparing what was read with what was true. */
export interface TotalView {
  /** m3 per count, a decimal text */
  readonly resolution: string
  /** counts after which the registers start again from 0 */
  readonly modulus: bigint
  /** counted since the meter was made; never wraps */
  readonly counted: bigint
  /** what the registers show, in counts */
  readonly shown: bigint
  /** whether a read of these registers has the whole total in it */
  covers(address: number, count: number): boolean
}

/** A simulated instrument at a unit id: registers, and what the plant lets it show. */
export interface Instrument {
  readonly kind: string
  readonly unit: Unit
  readonly map: readonly MapLine[]
  readonly total: TotalView | null
  /** what the registers show now, by the names of the tags; totals as decimal text in counts */
  values(): Readonly<Record<string, number | boolean | string>>
  /** Takes the plant's present state into the registers; `now` in ms UTC. */
  render(now: number): void
  /** Settings that scenarios change, such as a fault code; throws RangeError for one that it does not have. */
  set(name: string, value: number | boolean | string): void
  /** What must outlive a restart, JSON; undefined: nothing. */
  save(): unknown
  restore(saved: unknown): void
}

/** What an instrument needs from outside when it is made. */
export interface InstrumentDeps {
  readonly distortion: Distortion
  readonly onRead: (address: number, count: number) => void
}

/** A measured value gone wrong inside the instrument: not a number, or running away from the truth. */
export class Distortion {
  nan = false
  /** what is added per minute since `driftSince`, in the unit of the value */
  driftPerMinute = 0
  driftSince = 0

  apply(value: number, now: number): number {
    if (this.nan) return Number.NaN
    return this.driftPerMinute === 0 ? value : value + (this.driftPerMinute * (now - this.driftSince)) / 60_000
  }
}

export function unknownSetting(kind: string, name: string, known: readonly string[]): RangeError {
  return new RangeError(`a ${kind} has no setting "${name}"; it has: ${known.join(', ') || 'none'}`)
}
