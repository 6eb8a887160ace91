import { reasons } from '@penstock/core/reading.ts'
import { decodeChunk, encodeChunk } from '@penstock/gateway/historian/chunk.ts'
import type { StoredReading } from '@penstock/gateway/historian/historian.ts'
import { mergeReadings } from '@penstock/gateway/historian/tail.ts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 300)

const farthest = 2 ** 52 - 1
const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.maxSafeInteger(),
  fc.integer({ min: -20, max: 20 }),
  fc.constantFrom(-0, 2 ** 51, -(2 ** 51), 2 ** 51 - 1),
)
const integer64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  fc.bigInt({ min: -1000n, max: 1000n }),
  fc.constantFrom(2n ** 51n, -(2n ** 51n), 2n ** 51n - 1n),
)
const value = fc.oneof(number, integer64, fc.boolean(), fc.string({ unit: 'grapheme' }), fc.constantFrom('开', '关'))
const reading: fc.Arbitrary<StoredReading> = fc.oneof(
  fc.record(
    {
      sourceTimestamp: fc.oneof(
        fc.integer({ min: -farthest, max: farthest }),
        fc.integer({ min: 1.7e12, max: 1.7e12 + 50 }),
      ),
      value,
      quality: fc.constant('good' as const),
      reason: fc.constant(null),
    },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      sourceTimestamp: fc.integer({ min: 1.7e12, max: 1.7e12 + 50 }),
      value: fc.constant(null),
      quality: fc.constant('bad' as const),
      reason: fc.constantFrom(...reasons),
    },
    { noNullPrototype: true },
  ),
)
const chunk = fc
  .array(reading, { maxLength: 300 })
  .map(readings => readings.sort((a, b) => a.sourceTimestamp - b.sourceTimestamp))

describe('chunk', () => {
  it('gives back exactly what went in', () => {
    fc.assert(
      fc.property(chunk, readings => {
        expect(decodeChunk(encodeChunk(readings))).toStrictEqual(readings)
      }),
      { numRuns },
    )
  })

  it('takes at most 7 bytes for a reading of a float tag and 4 for a total', () => {
    const flows = Array.from({ length: 256 }, (_, index) => ({
      sourceTimestamp: 1.7e12 + index * 5000 + (index % 3),
      value: Math.fround(100 + Math.sin(index)),
      quality: 'good' as const,
      reason: null,
    }))
    expect(encodeChunk(flows).length).toBeLessThanOrEqual(256 * 7)
    const totals = flows.map((reading, index) => ({ ...reading, value: 8_123_456_789n + BigInt(index * 17) }))
    expect(encodeChunk(totals).length).toBeLessThanOrEqual(256 * 4)
  })

  it('keeps whole numbers among floats in one run', () => {
    const values = [1.5, 2, 3.25, 4, 5, 6.5].flatMap(one => Array.from({ length: 40 }, (_, index) => one + index))
    const readings = values.map((one, index) => ({
      sourceTimestamp: 1.7e12 + index,
      value: one,
      quality: 'good' as const,
      reason: null,
    }))
    expect(encodeChunk(readings).length).toBeLessThanOrEqual(readings.length * 5 + 40)
  })

  it('refuses a damaged blob instead of answering something else', () => {
    const blob = encodeChunk([{ sourceTimestamp: 1, value: 'text', quality: 'good', reason: null }])
    expect(() => decodeChunk(blob.subarray(0, blob.length - 1))).toThrow(RangeError)
    expect(() => decodeChunk(Buffer.from([9, 1]))).toThrow(RangeError)
  })
})

describe('merge', () => {
  it('of any division into runs equals the merge of the whole', () => {
    const cuts = fc.tuple(chunk, fc.array(fc.nat({ max: 4 }), { maxLength: 300 }))
    fc.assert(
      fc.property(cuts, ([readings, runs]) => {
        const divided = [0, 1, 2, 3, 4].map(run => readings.filter((_, index) => (runs[index] ?? 0) === run))
        const keys = (list: readonly StoredReading[]) =>
          list.map(
            one =>
              `${one.sourceTimestamp} ${typeof one.value} ${Object.is(one.value, -0) ? '-0' : one.value} ${one.quality} ${one.reason}`,
          )
        const merged = keys(mergeReadings([...divided, readings]))
        expect(new Set(merged)).toEqual(new Set(keys(readings)))
        expect(merged.length).toBe(new Set(merged).size)
      }),
      { numRuns: numRuns / 3 },
    )
  })
})
