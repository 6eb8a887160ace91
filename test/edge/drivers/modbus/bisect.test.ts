import { Bisection, cellsOf, isolationMs, type Part } from '@penstock/edge/drivers/modbus/bisect.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 200)

test('items that overlap are one cell: sixteen bits of a register are isolated together', () => {
  const bits = Array.from({ length: 16 }, () => ({ start: 5, count: 1 }))
  const cells = cellsOf([{ start: 0, count: 2 }, { start: 2, count: 1 }, ...bits, { start: 6, count: 2 }])
  expect(cells.map(({ start, count, items }) => [start, count, items.length])).toEqual([
    [0, 2, 1],
    [2, 1, 1],
    [5, 1, 16],
    [6, 2, 1],
  ])
})

/** Reads all cells from a device that refuses some; returns the cells that were read and the number of requests. */
function scan(bisection: Bisection, refused: ReadonlySet<number>, now: number): { read: number[]; requests: number } {
  const queue: Part[] = [...bisection.parts(now)]
  const read: number[] = []
  let requests = 0
  for (let part = queue.shift(); part; part = queue.shift()) {
    requests++
    const cells = Array.from({ length: part.last - part.first + 1 }, (_, index) => (part?.first ?? 0) + index)
    if (cells.some(cell => refused.has(cell))) queue.push(...bisection.refused(part, now))
    else read.push(...cells)
  }
  return { read: read.sort((a, b) => a - b), requests }
}

test('exactly the refused cells are lost, in the first scan already, and are then left alone for an hour', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), fc.array(fc.nat({ max: 63 }), { maxLength: 5 }), (count, list) => {
      const refused = new Set(list.filter(cell => cell < count))
      const good = Array.from({ length: count }, (_, cell) => cell).filter(cell => !refused.has(cell))
      const bisection = new Bisection(count)
      const first = scan(bisection, refused, 0)
      expect(first.read).toEqual(good)
      expect(first.requests).toBeLessThanOrEqual(1 + refused.size * 2 * Math.ceil(Math.log2(count) + 1))
      if (refused.size === count) return
      expect(bisection.refusedAll()).toBe(false)
      expect(bisection.isolated).toBe(refused.size)
      const second = scan(bisection, refused, isolationMs - 1)
      expect(second.read).toEqual(good)
      // nothing that is known to be refused is asked
      expect(second.requests).toBeLessThanOrEqual(first.requests)
      expect(second.requests).toBeLessThanOrEqual(1 + refused.size * Math.ceil(Math.log2(count) + 1))
    }),
    { numRuns },
  )
})

test('after an hour the whole block is tried again', () => {
  const bisection = new Bisection(8)
  scan(bisection, new Set([3]), 0)
  expect(bisection.isIsolated(3)).toBe(true)
  expect(scan(bisection, new Set(), isolationMs)).toEqual({ read: [0, 1, 2, 3, 4, 5, 6, 7], requests: 1 })
  expect(bisection.isolated).toBe(0)
})

test('a device that refuses everything has no bad register: nothing is remembered', () => {
  const bisection = new Bisection(4)
  scan(bisection, new Set([0, 1, 2, 3]), 0)
  expect(bisection.refusedAll()).toBe(true)
  expect(scan(bisection, new Set(), 1)).toEqual({ read: [0, 1, 2, 3], requests: 1 })
})
