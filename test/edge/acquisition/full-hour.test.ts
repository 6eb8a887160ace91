import type { Clock } from '@penstock/core/runtime/clock.ts'
import { atFullHours } from '@penstock/edge/acquisition/full-hour.ts'
import { expect, test } from 'vitest'
import { ManualTime } from '../../support/manual-time.ts'

const hour = 3_600_000
const start = Date.parse('2026-11-21T07:59:00Z')

test('runs at each full hour, with the hour', async () => {
  const time = new ManualTime(start)
  const hours: string[] = []
  const cancel = atFullHours(time, at => hours.push(`${new Date(at).toISOString()} at ${time.now() - at}`))
  await time.advance(2 * hour)
  expect(hours).toEqual(['2026-11-21T08:00:00.000Z at 0', '2026-11-21T09:00:00.000Z at 0'])
  cancel()
  await time.advance(hour)
  expect(hours).toHaveLength(2)
  expect(time.pending).toBe(0)
})

test('a clock that is set forward over an hour is noticed within a minute, one set back does not repeat at once', async () => {
  const time = new ManualTime(start - 20 * 60_000)
  let offset = 0
  const clock: Clock = { now: () => time.now() + offset, after: (delay, run) => time.after(delay, run) }
  const hours: number[] = []
  const cancel = atFullHours(clock, at => hours.push(at))
  offset = 30 * 60_000
  await time.advance(60_000)
  expect(hours).toEqual([start + 60_000])
  offset -= 3 * hour
  await time.advance(30 * 60_000)
  expect(hours).toEqual([start + 60_000])
  await time.advance(60 * 60_000)
  expect(hours).toEqual([start + 60_000, start + 60_000 - 2 * hour])
  cancel()
})
