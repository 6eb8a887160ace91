import { type ClassUse, nextVictim, surplusHistory } from '@penstock/edge/uplink/bounds.ts'
import { describe, expect, test } from 'vitest'

/** Segments of ten records and 100 bytes. */
const use = (name: ClassUse['name'], segments: number, cursor: number): ClassUse => ({
  name,
  cursor,
  segments: Array.from({ length: segments }, (_, index) => ({ first: index * 10, end: index * 10 + 10, bytes: 100 })),
})

describe('rule 8: what goes when the outbox is full', () => {
  test('anything confirmed goes before anything that is not', () => {
    expect(nextVictim([use('alarm', 3, 15), use('total', 3, 5), use('raw', 3, 5)])).toEqual({
      ...{ name: 'alarm', before: 10, lostFrom: null },
    })
  })

  test('of the unconfirmed the oldest of raw, then of total, then of alarm, from the cursor on', () => {
    const all = [use('alarm', 3, 4), use('total', 3, 5), use('raw', 3, 6)]
    expect(nextVictim(all)).toEqual({ name: 'raw', before: 10, lostFrom: 6 })
    expect(nextVictim(all.slice(0, 2))).toEqual({ name: 'total', before: 10, lostFrom: 5 })
    expect(nextVictim(all.slice(0, 1))).toEqual({ name: 'alarm', before: 10, lostFrom: 4 })
  })

  test('never the segment that is being written', () => {
    expect(nextVictim([use('alarm', 1, 0), use('total', 1, 10), use('raw', 0, 0)])).toBeNull()
  })
})

describe('rule 5: how much confirmed history stays', () => {
  test('less than 20 % of the bytes of the class', () => {
    // raw has seven tenths of 10 000 bytes: 1 400 stay
    expect(surplusHistory(use('raw', 13, 130), 10_000)).toBeNull()
    expect(surplusHistory(use('raw', 20, 200), 10_000)).toEqual({ name: 'raw', before: 70, lostFrom: null })
  })

  test('nothing that is not confirmed', () => {
    expect(surplusHistory(use('raw', 40, 25), 10_000)).toEqual({ name: 'raw', before: 20, lostFrom: null })
    expect(surplusHistory(use('raw', 40, 5), 10_000)).toBeNull()
  })
})
