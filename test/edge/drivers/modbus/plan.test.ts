import type { ReadCode } from '@penstock/edge/drivers/modbus/frame.ts'
import { type PlanItem, plan } from '@penstock/edge/drivers/modbus/plan.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 300)
const item = (start: number, count: number, functionCode: ReadCode = 3): PlanItem => ({ functionCode, start, count })
const loose = { maxRegisters: 125, maxGap: 16, avoid: [] }

test('neighbours and small gaps are read together, larger gaps apart', () => {
  const { reads } = plan([item(40, 2), item(0, 2), item(2, 1), item(10, 2), item(29, 1)], loose)
  expect(reads).toEqual([
    { functionCode: 3, start: 0, count: 12, items: [1, 2, 3] },
    { functionCode: 3, start: 29, count: 13, items: [4, 0] },
  ])
})

test('function codes are never mixed', () => {
  const { reads } = plan([item(0, 1, 4), item(1, 1, 3)], loose)
  expect(reads.map(read => [read.functionCode, read.start])).toEqual([
    [3, 1],
    [4, 0],
  ])
})

test('a read ends before the maximum, and no item is split', () => {
  const { reads } = plan([item(0, 4), item(4, 4), item(8, 4)], { ...loose, maxRegisters: 10 })
  expect(reads.map(({ start, count }) => [start, count])).toEqual([
    [0, 8],
    [8, 4],
  ])
})

test('avoided registers are not read along, not even in a gap', () => {
  const { reads } = plan([item(0, 2), item(6, 2)], { ...loose, avoid: [[4, 4]] })
  expect(reads.map(({ start, count }) => [start, count])).toEqual([
    [0, 2],
    [6, 2],
  ])
})

test('what cannot be read is refused with the reason', () => {
  const { reads, refused } = plan([item(0, 20), item(30, 2), item(65535, 2)], {
    maxRegisters: 10,
    maxGap: 0,
    avoid: [[31, 40]],
  })
  expect(reads).toEqual([])
  expect(refused.map(({ item: index, why }) => `${index}: ${why}`)).toEqual([
    '0: 20 registers do not fit one request of 10',
    '1: it lies on registers that must never be read ("avoid")',
    '2: it ends beyond register 65535',
  ])
})

test('bits may be read 2000 at a time', () => {
  const bits = Array.from({ length: 2100 }, (_, index) => item(index, 1, 1))
  expect(plan(bits, loose).reads.map(read => read.count)).toEqual([2000, 100])
})

const items = fc.array(
  fc.record({
    functionCode: fc.constantFrom<ReadCode>(1, 2, 3, 4),
    start: fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 65535 })),
    count: fc.integer({ min: 1, max: 12 }),
  }),
  { maxLength: 60 },
)
const limits = fc.record({
  maxRegisters: fc.integer({ min: 1, max: 125 }),
  maxGap: fc.nat({ max: 124 }),
  avoid: fc.array(
    fc.tuple(fc.nat({ max: 320 }), fc.nat({ max: 10 })).map(([first, more]) => [first, first + more] as const),
    { maxLength: 5 },
  ),
})

test('every item is read once and whole or refused; no read is too long, touches what is to be avoided, or reads a large gap', () => {
  fc.assert(
    fc.property(items, limits, (wanted, rules) => {
      const { reads, refused } = plan(wanted, rules)
      const seen = [...reads.flatMap(read => read.items), ...refused.map(({ item: index }) => index)]
      expect(seen.sort((a, b) => a - b)).toEqual([...wanted.keys()])
      for (const read of reads) {
        const most = read.functionCode <= 2 ? Math.min(2000, rules.maxRegisters * 16) : rules.maxRegisters
        expect(read.count).toBeLessThanOrEqual(most)
        expect(read.start + read.count).toBeLessThanOrEqual(65536)
        const covered = new Set<number>()
        for (const index of read.items) {
          const one = wanted[index]
          if (!one) throw new Error('no such item')
          expect(one.functionCode).toBe(read.functionCode)
          expect(one.start).toBeGreaterThanOrEqual(read.start)
          expect(one.start + one.count).toBeLessThanOrEqual(read.start + read.count)
          for (let at = one.start; at < one.start + one.count; at++) covered.add(at)
        }
        let gap = 0
        for (let at = read.start; at < read.start + read.count; at++) {
          expect(rules.avoid.some(([first, last]) => at >= first && at <= last)).toBe(false)
          gap = covered.has(at) ? 0 : gap + 1
          expect(gap).toBeLessThanOrEqual(rules.maxGap)
        }
        expect(covered.has(read.start) && covered.has(read.start + read.count - 1)).toBe(true)
      }
      // nothing is refused that could be read
      for (const { item: index } of refused) {
        const one = wanted[index]
        if (!one) throw new Error('no such item')
        const most = one.functionCode <= 2 ? Math.min(2000, rules.maxRegisters * 16) : rules.maxRegisters
        const touched = rules.avoid.some(([first, last]) => first < one.start + one.count && last >= one.start)
        expect(one.count > most || touched || one.start + one.count > 65536).toBe(true)
      }
    }),
    { numRuns },
  )
})

test('reads are as few as a greedy walk allows: two neighbouring reads could not have been one', () => {
  fc.assert(
    fc.property(items, limits, (wanted, rules) => {
      const { reads } = plan(wanted, rules)
      for (const [index, read] of reads.entries()) {
        const next = reads[index + 1]
        if (!next || next.functionCode !== read.functionCode) continue
        const first = wanted[next.items[0] ?? 0]
        if (!first) throw new Error('no such item')
        const most = read.functionCode <= 2 ? Math.min(2000, rules.maxRegisters * 16) : rules.maxRegisters
        const tooLong = Math.max(read.start + read.count, first.start + first.count) - read.start > most
        const tooFar = first.start - (read.start + read.count) > rules.maxGap
        const inTheWay = rules.avoid.some(([from, to]) => from < first.start && to >= read.start + read.count)
        expect(tooLong || tooFar || inTheWay).toBe(true)
      }
    }),
    { numRuns },
  )
})
