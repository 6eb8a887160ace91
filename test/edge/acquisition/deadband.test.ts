import { type ReportRule, side, type TagValue, worthReporting } from '@penstock/edge/acquisition/deadband.ts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 500)
const rule = (more: Partial<ReportRule> = {}): ReportRule => ({
  deadband: 0.05,
  heartbeatMs: 60_000,
  limits: [],
  ...more,
})
const good = (value: TagValue['value']): TagValue => ({ value, quality: 'good', reason: null })
const reports = (from: TagValue['value'], to: TagValue['value'], more: Partial<ReportRule> = {}): boolean =>
  worthReporting(good(from), 0, good(to), 1000, rule(more))

describe('what is worth reporting', () => {
  test('a change by the deadband, not a smaller one', () => {
    expect(reports(1, 1.04)).toBe(false)
    expect(reports(1, 1.0625)).toBe(true)
    expect(reports(1, 0.9375)).toBe(true)
    expect(reports(10, 12, { deadband: 2 })).toBe(true)
  })

  test('a chlorine leak below the deadband: 0.28 to 0.31 over the limit 0.30', () => {
    expect(reports(0.28, 0.31)).toBe(false)
    expect(reports(0.28, 0.31, { limits: [0.3] })).toBe(true)
    expect(reports(0.33, 0.29, { limits: [0.3], deadband: 1 })).toBe(true)
  })

  test('reaching and leaving a limit exactly are crossings of their own', () => {
    expect(reports(0.28, 0.3, { limits: [0.3] })).toBe(true)
    expect(reports(0.3, 0.31, { limits: [0.3] })).toBe(true)
    expect(reports(0.3, 0.29, { limits: [0.3] })).toBe(true)
  })

  test('while the limits are not known every change is reported', () => {
    expect(reports(1, 1.0001, { limits: null })).toBe(true)
    expect(reports(1, 1, { limits: null })).toBe(false)
  })

  test('a tag without deadband, Booleans, texts and 64-bit numbers: every change', () => {
    expect(reports(1, 1.0001, { deadband: null })).toBe(true)
    expect(reports(false, true)).toBe(true)
    expect(reports('a', 'b')).toBe(true)
    expect(reports(1n, 2n, { deadband: 100 })).toBe(true)
    expect(reports(2n, 2n)).toBe(false)
  })

  test('the heartbeat, also after the clock was set back', () => {
    expect(worthReporting(good(1), 0, good(1), 59_999, rule())).toBe(false)
    expect(worthReporting(good(1), 0, good(1), 60_000, rule())).toBe(true)
    expect(worthReporting(good(1), 5000, good(1), 4999, rule())).toBe(true)
  })

  test('another quality or reason', () => {
    const uncertain: TagValue = { value: 1, quality: 'uncertain', reason: 'inhibit' }
    const timeout: TagValue = { value: null, quality: 'bad', reason: 'timeout' }
    expect(worthReporting(good(1), 0, uncertain, 1, rule())).toBe(true)
    expect(worthReporting(uncertain, 0, { ...uncertain, reason: 'device-warning' }, 1, rule())).toBe(true)
    expect(worthReporting(timeout, 0, timeout, 1, rule())).toBe(false)
    expect(worthReporting(timeout, 0, good(1), 1, rule())).toBe(true)
  })
})

test('sides of sorted limits', () => {
  expect([0, 1, 1.5, 2, 3].map(value => side(value, [1, 2]))).toEqual([0, 1, 2, 3, 4])
  expect(side(5, [])).toBe(0)
})

/** A level alarm with a set and a reset point, each with its own comparison; holds its state on bad readings. */
interface Level {
  readonly set: number
  readonly reset: number
  readonly high: boolean
  readonly inclusive: boolean
}

/** The changes of state that a stream of readings causes. */
function transitions(level: Level, stream: readonly TagValue[]): string[] {
  const beyond = (value: number, limit: number): boolean =>
    level.high ? (level.inclusive ? value >= limit : value > limit) : level.inclusive ? value <= limit : value < limit
  const story: string[] = []
  const alarm = { active: false }
  for (const { value } of stream) {
    if (typeof value !== 'number') continue
    const next = alarm.active ? beyond(value, level.reset) : beyond(value, level.set)
    if (next !== alarm.active) story.push(next ? 'raised' : 'returned')
    alarm.active = next
  }
  return story
}

test('the alarms of the reported readings are the alarms of all readings, for any limits and values', () => {
  // a coarse grid, so that values hit limits exactly
  const grid = fc.integer({ min: -20, max: 20 }).map(step => step / 4)
  const level = fc
    .record({ set: grid, distance: fc.integer({ min: 0, max: 8 }), high: fc.boolean(), inclusive: fc.boolean() })
    .map(({ set, distance, high, inclusive }): Level => {
      const reset = high ? set - distance / 4 : set + distance / 4
      return { set, reset, high, inclusive }
    })
  const reading = fc.oneof(
    { weight: 9, arbitrary: grid.map(good) },
    { weight: 1, arbitrary: fc.constant<TagValue>({ value: null, quality: 'bad', reason: 'timeout' }) },
  )
  fc.assert(
    fc.property(
      fc.array(level, { minLength: 1, maxLength: 4 }),
      fc.array(reading, { maxLength: 80 }),
      fc.double({ min: 0, max: 10, noNaN: true }),
      (levels, stream, deadband) => {
        const limits = [...new Set(levels.flatMap(({ set, reset }) => [set, reset]))].sort((a, b) => a - b)
        const reported: TagValue[] = []
        let last: TagValue = { value: null, quality: 'bad', reason: 'not-read' }
        for (const [at, next] of stream.entries()) {
          if (!worthReporting(last, 0, next, at, { deadband, heartbeatMs: 1e9, limits })) continue
          reported.push(next)
          last = next
        }
        for (const one of levels) expect(transitions(one, reported)).toEqual(transitions(one, stream))
      },
    ),
    { numRuns },
  )
})
