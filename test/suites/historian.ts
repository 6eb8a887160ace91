import type { Reading } from '@penstock/core/reading.ts'
import type { Historian, StoredReading } from '@penstock/gateway/historian/historian.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

/** A historian under test, with the way in. */
export interface HistorianUnderTest {
  readonly historian: Historian
  /** Gives readings to the historian as one batch of the durable lane; resolves when a query would find them. */
  store(readings: readonly Reading[]): Promise<void>
  /** The same readings as births and live copies bring them. */
  storeLive(readings: readonly Reading[]): Promise<void>
  close(): Promise<void>
}

const tag = 'waterworks/fm-1/flow'
const start = Date.UTC(2026, 10, 21)

const reading = (seconds: number, value: Reading['value'], more: Partial<Reading> = {}): Reading => ({
  tag,
  type: 'Double',
  value,
  quality: 'good',
  reason: null,
  sourceTimestamp: start + seconds * 1000,
  ...more,
})

const stored = ({ sourceTimestamp, value, quality, reason }: Reading): StoredReading => ({
  sourceTimestamp,
  value,
  quality,
  reason,
})

/** What every historian must do, whatever it stores in. */
export function historianSuite(open: () => Promise<HistorianUnderTest>): void {
  describe('historian contract', () => {
    let under: HistorianUnderTest
    beforeEach(async () => {
      under = await open()
    })
    afterEach(() => under.close())

    const all = async (of = tag): Promise<StoredReading[]> =>
      (await under.historian.query(of, start - 1e9, start + 1e9, 10_000)).readings

    it('gives back every type of value exactly', async () => {
      const readings = [
        reading(0, 0.1 + 0.2),
        reading(1, -0),
        reading(2, 12),
        reading(3, 9_007_199_254_740_993n, { type: 'Int64' }),
        reading(4, -(2n ** 63n), { type: 'Int64' }),
        reading(5, 2n ** 64n - 1n, { type: 'UInt64' }),
        reading(6, true, { type: 'Boolean' }),
        reading(7, '氯气 0.3 ppm', { type: 'String' }),
        reading(8, '', { type: 'String' }),
        reading(9, null, { quality: 'bad', reason: 'timeout' }),
        reading(10, 5e-324),
        reading(11, 3.5, { quality: 'uncertain', reason: 'clock' }),
      ]
      await under.store(readings)
      expect(await all()).toEqual(readings.map(stored))
    })

    it('answers from inclusive, to exclusive, ascending, and knows nothing of other tags', async () => {
      await under.store([0, 1, 2, 3].map(second => reading(second, second)))
      const { readings } = await under.historian.query(tag, start + 1000, start + 3000, 100)
      expect(readings.map(found => found.value)).toEqual([1, 2])
      expect(await all('waterworks/fm-1/total')).toEqual([])
    })

    it('takes a repeat of time, value and quality as one reading, and another value of the same time as a second', async () => {
      await under.store([reading(1, 10), reading(1, 10), reading(1, 11)])
      await under.store([reading(1, 10), reading(1, 11), reading(1, 10, { quality: 'uncertain', reason: 'clock' })])
      expect(await all()).toEqual([
        stored(reading(1, 10)),
        stored(reading(1, 11)),
        stored(reading(1, 10, { quality: 'uncertain', reason: 'clock' })),
      ])
    })

    it('counts a live copy and the durable reading that follows as one', async () => {
      await under.storeLive([reading(5, 1.25)])
      await under.store([reading(4, 1), reading(5, 1.25)])
      expect((await all()).map(found => found.value)).toEqual([1, 1.25])
    })

    it('puts late readings where they belong', async () => {
      for (let second = 1000; second < 1600; second++) await under.store([reading(second, second)])
      await under.store([reading(3, 3), reading(1200.5, 0.5)])
      const values = (await all()).map(found => found.sourceTimestamp)
      expect(values).toHaveLength(602)
      expect(values).toEqual([...values].sort((a, b) => a - b))
      expect(values[0]).toBe(start + 3000)
    })

    it('pages through a long range without losing or repeating a reading', async () => {
      const readings = Array.from({ length: 2_500 }, (_, index) => reading(Math.floor(index / 3), index))
      for (let index = 0; index < readings.length; index += 50) await under.store(readings.slice(index, index + 50))
      const found: StoredReading[] = []
      let from: number | null = start
      let pages = 0
      while (from !== null) {
        const page = await under.historian.query(tag, from, start + 1e9, 100)
        expect(page.readings.length).toBeLessThanOrEqual(100)
        found.push(...page.readings)
        from = page.next
        pages++
      }
      expect(pages).toBeGreaterThan(20)
      expect(found.map(one => one.value)).toEqual(readings.map(one => one.value))
    })
  })
}
