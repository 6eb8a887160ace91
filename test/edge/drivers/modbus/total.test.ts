import {
  afterSecondRead,
  countOf,
  decimal,
  looksTorn,
  powerOfTen,
  type RawTotal,
  totalScale,
} from '@penstock/edge/drivers/modbus/total.ts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 300)
const litres = totalScale(decimal('1'), decimal('0.001'), powerOfTen(0))
const raw = (integer: number | bigint, fraction: number, scale = litres): RawTotal => ({
  integer: BigInt(integer),
  fraction,
  scale,
})

describe('exact counts', () => {
  test('integer 1234567 and fraction 0.25 are 1 234 567.25 m3', () => {
    expect(countOf(raw(1234567, 0.25))).toBe(1_234_567_250n)
  })

  test('the noise of a float32 fraction is rounded to the resolution', () => {
    expect(Math.fround(0.123)).not.toBe(0.123)
    expect(countOf(raw(7, Math.fround(0.123)))).toBe(7123n)
    expect(countOf(raw(7, Math.fround(0.9996)))).toBe(8000n)
    expect(countOf(raw(-7, Math.fround(-0.123)))).toBe(-7123n)
  })

  test('multiplier, unit of the meter and resolution combine as fractions', () => {
    expect(countOf(raw(5, 0.5, totalScale(decimal('1'), decimal('0.001'), powerOfTen(-3))))).toBe(6n)
    expect(countOf(raw(5, 0.25, totalScale(decimal('1'), decimal('0.001'), powerOfTen(4))))).toBe(52_500_000n)
    expect(countOf(raw(1500, 0, totalScale(decimal('0.001'), decimal('0.001'), powerOfTen(0))))).toBe(1500n)
    expect(countOf(raw(3, 0, totalScale(decimal('3.785411784'), decimal('0.0001'), powerOfTen(0))))).toBe(113_562n)
  })

  test('every count of every resolution comes back exactly through integer and float32 fraction', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 4_294_967_295_999n }),
        fc.constantFrom('1', '0.1', '0.01', '0.001', '0.0001'),
        (count, resolution) => {
          const perUnit = decimal(resolution).denominator
          const whole = count / perUnit
          const fraction = Math.fround(Number(count % perUnit) / Number(perUnit))
          const scale = totalScale(decimal('1'), decimal(resolution), powerOfTen(0))
          expect(countOf({ integer: whole, fraction, scale })).toBe(count)
        },
      ),
      { numRuns },
    )
  })

  test('counts never fall while the meter rises, whatever the multiplier', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 1_000_000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.double({ min: 0, max: 5, noNaN: true }),
        fc.integer({ min: -3, max: 4 }),
        (integer, fraction, step, exponent) => {
          const scale = totalScale(decimal('1'), decimal('0.001'), powerOfTen(exponent))
          const later = integer + fraction + step
          const a = countOf(raw(integer, fraction, scale))
          const b = countOf(raw(Math.floor(later), later - Math.floor(later), scale))
          expect(b >= a - 1n).toBe(true)
          if (step > 1e-6) expect(b >= a).toBe(true)
        },
      ),
      { numRuns },
    )
  })
})

describe('torn totals', () => {
  const before = raw(1234, 0.999)

  test.each([
    ['fraction of 1', raw(1234, 1)],
    ['negative fraction', raw(1234, -0.25)],
    ['fraction carried before the integer part: 1234.001', raw(1234, 0.001)],
    ['integer part carried before the fraction: 1235.999', raw(1235, 0.999)],
  ])('%s is read again', (_, torn) => {
    expect(looksTorn(before, torn)).toBe(true)
    expect(afterSecondRead(before, torn, raw(1235, 0.001))).toEqual(raw(1235, 0.001))
  })

  test('a total that follows is taken at once', () => {
    expect(looksTorn(before, raw(1235, 0.001))).toBe(false)
    expect(looksTorn(before, raw(1234, 0.999))).toBe(false)
    expect(looksTorn(raw(1234, 0.1), raw(1234, 0.2))).toBe(false)
    expect(looksTorn(before, raw(1300, 0.5))).toBe(false)
  })

  test('a total of whole units is not suspected because it moves', () => {
    expect(looksTorn(raw(10, 0), raw(11, 0))).toBe(false)
  })

  test('the first total after the start is read twice', () => {
    expect(looksTorn(null, raw(1, 0.5))).toBe(true)
    expect(afterSecondRead(null, raw(1, 0.5), raw(1, 0.5))).toEqual(raw(1, 0.5))
    expect(afterSecondRead(null, raw(1, 0.5), raw(1, 0.1))).toBeNull()
  })

  test('a small step back that two readings show is real and passed on', () => {
    const back = raw(1234, 0.5)
    expect(looksTorn(before, back)).toBe(true)
    expect(afterSecondRead(before, back, raw(1234, 0.5))).toEqual(back)
  })

  test('a large step back is passed on at once: the edge never unwraps', () => {
    expect(looksTorn(before, raw(3, 0.2))).toBe(false)
    expect(looksTorn(raw(4294967295, 0.9), raw(0, 0.1))).toBe(false)
  })

  test('torn twice is torn', () => {
    expect(afterSecondRead(before, raw(1234, 0.001), raw(1234, 0.0005))).toBeNull()
    expect(afterSecondRead(before, raw(1234, 1.5), raw(1235, 1.5))).toBeNull()
  })

  test('a meter that tears while it carries is never reported wrong by more than it moved', () => {
    // the device copies integer part and fraction at two moments; a second read follows a little later
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.double({ min: 0, max: 0.9, noNaN: true }), fc.boolean(), fc.boolean()), { maxLength: 60 }),
        steps => {
          let truth = 0.5
          let last: RawTotal | null = null
          const floor = (value: number) => Math.floor(value)
          const read = (moving: number, fractionFirst: boolean): RawTotal => {
            const early = truth
            truth += moving
            const [whole, rest] = fractionFirst ? [truth, early] : [early, truth]
            return raw(floor(whole), rest - floor(rest))
          }
          for (const [step, fractionFirst, tears] of steps) {
            truth += step
            const from = truth
            const first = read(tears ? 0.05 : 0, fractionFirst)
            let stands: RawTotal | null = first
            if (looksTorn(last, first)) stands = afterSecondRead(last, first, read(0, false))
            if (!stands) continue
            const value = Number(stands.integer) + stands.fraction
            expect(value).toBeGreaterThan(from - 1e-6)
            expect(value).toBeLessThan(truth + 1e-6)
            last = stands
          }
        },
      ),
      { numRuns },
    )
  })
})
