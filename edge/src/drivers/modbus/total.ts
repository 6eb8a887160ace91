import { type Bad, badConfiguration } from './decode.ts'

/** What the registers of one total say: integer part, fraction, and what one count of them is worth. */
export interface RawTotal {
  readonly integer: bigint
  /** in counts of the integer part; 0 where the meter has none */
  readonly fraction: number
  readonly scale: TotalScale
}

/** Counts of the resolution per count of the integer part, as an exact fraction. */
export interface TotalScale {
  readonly numerator: bigint
  readonly denominator: bigint
}

/** A decimal text as an exact fraction. */
export function decimal(text: string): TotalScale {
  const [whole = '0', places = ''] = text.split('.')
  return { numerator: BigInt(whole + places), denominator: 10n ** BigInt(places.length) }
}

/** unit of the meter ÷ resolution × 10^exponent (or × factor), exact. */
export function totalScale(unit: TotalScale, resolution: TotalScale, multiplier: TotalScale): TotalScale {
  const numerator = unit.numerator * multiplier.numerator * resolution.denominator
  const denominator = unit.denominator * multiplier.denominator * resolution.numerator
  return { numerator, denominator }
}

export const powerOfTen = (exponent: number): TotalScale =>
  exponent >= 0
    ? { numerator: 10n ** BigInt(exponent), denominator: 1n }
    : { numerator: 1n, denominator: 10n ** BigInt(-exponent) }

const fractionBits = 52n
const fractionUnit = 2 ** 52

/**
 * The index as the meter shows it, as a count of the resolution. The fraction is rounded to the resolution (half away from
 * zero), in integers: a binary fraction such as 0.12300000339 of a float32 register gives 123 thousandths.
 */
export function countOf({ integer, fraction, scale }: RawTotal): bigint {
  const fixed = (integer << fractionBits) + BigInt(Math.round(fraction * fractionUnit))
  const numerator = fixed * scale.numerator
  const denominator = scale.denominator << fractionBits
  const half = numerator < 0n ? -denominator : denominator
  return (numerator * 2n + half) / (denominator * 2n)
}

/** Largest count that an Int64 on the wire can hold. */
const largest = 2n ** 63n - 1n

export const checkedCount = (raw: RawTotal): bigint | Bad => {
  const count = countOf(raw)
  return count > largest || count < -largest ? badConfiguration : count
}

/** A fraction belongs to [0, 1), or to (-1, 0] under a negative integer part. */
export const fractionFits = ({ integer, fraction }: RawTotal): boolean =>
  integer > 0n ? fraction >= 0 && fraction < 1 : integer < 0n ? fraction > -1 && fraction <= 0 : Math.abs(fraction) < 1

/** b − a in counts of the integer part; the integer parts are subtracted first, so that no digit is lost. */
const difference = (a: RawTotal, b: RawTotal): number => Number(b.integer - a.integer) + (b.fraction - a.fraction)

/** A step back of less than this looks like parts that do not belong together. */
const smallStep = 2

/**
 * Whether the parts may have been read while the meter was carrying over (1234.999 → 1235.001 read as 1234.001 or
 * 1235.999), so that the total has to be read once more. `before`: the last total of this meter, null at the start.
 */
export function looksTorn(before: RawTotal | null, read: RawTotal): boolean {
  if (!fractionFits(read)) return true
  if (before === null) return true
  const step = difference(before, read)
  if (step < 0) return step > -smallStep
  // the integer part moved, the fraction did not fall: the carry may be counted twice
  return read.integer !== before.integer && read.fraction !== 0 && read.fraction >= before.fraction && step < smallStep
}

/**
 * The total to report after the second reading: null when the parts still do not fit together. A step back that both
 * readings show is real and passed on: the edge never unwraps.
 */
export function afterSecondRead(before: RawTotal | null, first: RawTotal, second: RawTotal): RawTotal | null {
  if (!fractionFits(second)) return null
  if (fractionFits(first) && difference(first, second) >= 0) return second
  // the first reading was torn; the second stands if it follows what was read before
  if (before === null) return null
  const step = difference(before, second)
  return step >= 0 || step <= -smallStep ? second : null
}
