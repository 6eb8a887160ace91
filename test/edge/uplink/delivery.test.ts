import { isOtherDisk, Lane, windowBatches, windowBytes } from '@penstock/edge/uplink/delivery.ts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const middle = (): number => 0.5
const record = (position: number, bytes = 100) => ({ position, crc: position + 1000, bytes })

/** Sends as much as the window takes; returns the positions. */
function fill(lane: Lane, end: number, now: number, bytes = 100): number[] {
  const sent: number[] = []
  for (let at = lane.sent; at !== null && at < end && lane.fits(bytes); at = lane.sent) {
    lane.send(record(at, bytes), now)
    sent.push(at)
  }
  return sent
}

const greeted = (next = 0, now = 0): Lane => {
  const lane = new Lane(middle)
  lane.startSession()
  lane.hello(next, now)
  return lane
}

describe('rule 3: hello', () => {
  test('nothing may be sent before the first confirmation of the session', () => {
    const lane = new Lane(middle)
    lane.startSession()
    expect(lane.sent).toBeNull()
    expect(lane.fits(1)).toBe(false)
    expect(lane.confirm(5, 0).kind).toBe('stale')
  })

  test('a new session forgets what was on its way', () => {
    const lane = greeted()
    fill(lane, 5, 0)
    lane.startSession()
    expect(lane.sent).toBeNull()
    expect(lane.inFlight).toBe(0)
    expect(lane.dueAt).toBeNull()
  })
})

describe('rule 5: confirmations', () => {
  test('the hello moves the sender, also below what was confirmed once', () => {
    const lane = greeted(40)
    fill(lane, 50, 0)
    lane.confirm(50, 10)
    lane.startSession()
    lane.hello(12, 20)
    expect(lane.sent).toBe(12)
    expect(fill(lane, 50, 20)[0]).toBe(12)
  })

  test('a later one with a lower position is stale and changes nothing', () => {
    const lane = greeted(10)
    fill(lane, 20, 0)
    lane.confirm(15, 5)
    expect(lane.confirm(12, 6).kind).toBe('stale')
    expect(lane.acked).toBe(15)
    expect(lane.inFlight).toBe(5)
  })

  test('the crc of the last confirmed batch becomes the tail', () => {
    const lane = greeted()
    fill(lane, 3, 0)
    expect(lane.confirm(2, 5)).toMatchObject({ kind: 'advanced', tail: 1001 })
    expect(lane.confirm(2, 6).kind).toBe('repeated')
  })

  test('one that is ahead of what was sent in this session moves the sender forward', () => {
    const lane = greeted()
    lane.confirm(7, 1)
    expect(lane.sent).toBe(7)
  })
})

describe('rule 6: window', () => {
  test(`at most ${windowBatches} batches wait`, () => {
    const lane = greeted()
    expect(fill(lane, 100, 0)).toHaveLength(windowBatches)
    lane.confirm(1, 1)
    expect(fill(lane, 100, 1)).toEqual([windowBatches])
  })

  test(`at most ${windowBytes} bytes wait, but one batch always may`, () => {
    const lane = greeted()
    expect(fill(lane, 100, 0, 100 * 1024)).toHaveLength(2)
    const huge = greeted()
    expect(fill(huge, 100, 0, 2 * windowBytes)).toHaveLength(1)
  })

  test('it halves on a time-out, never below one, and grows by one for each confirmed window', () => {
    const lane = greeted()
    let now = 0
    for (const expected of [16, 8, 4, 2, 1, 1]) {
      fill(lane, 100, now)
      now = lane.dueAt ?? 0
      expect(lane.tick(now)).toBe(true)
      expect(lane.window).toBe(expected)
    }
    fill(lane, 100, now)
    lane.confirm(1, now + 1)
    expect(lane.window).toBe(2)
    fill(lane, 100, now + 1)
    lane.confirm(2, now + 2)
    expect(lane.window).toBe(2)
    lane.confirm(3, now + 3)
    expect(lane.window).toBe(3)
  })

  test('`from` is where the sender was, so that a hole is declared', () => {
    const lane = greeted(3)
    expect(lane.send(record(3), 0)).toBe(3)
    expect(lane.send(record(9), 0)).toBe(4)
    expect(lane.sent).toBe(10)
  })
})

describe('rule 7: time-out and resend', () => {
  test('after the time-out everything unconfirmed goes out again, in order', () => {
    const lane = greeted()
    fill(lane, 5, 0)
    lane.confirm(2, 100)
    expect(lane.tick(2_099)).toBe(false)
    expect(lane.tick(2_100)).toBe(true)
    expect(fill(lane, 5, 2_100)).toEqual([2, 3, 4])
  })

  test('is three times the smoothed delay, between 2 and 30 s', () => {
    const quick = greeted()
    fill(quick, 1, 0)
    quick.confirm(1, 50)
    expect(quick.timeoutMs).toBe(2_000)
    const slow = greeted()
    fill(slow, 1, 0)
    slow.confirm(1, 4_000)
    expect(slow.timeoutMs).toBe(12_000)
    const dead = greeted()
    fill(dead, 1, 0)
    dead.confirm(1, 50_000)
    expect(dead.timeoutMs).toBe(30_000)
  })

  test('doubles up to 60 s, spread by 20 %', () => {
    const spans = (random: () => number): number[] => {
      const lane = new Lane(random)
      lane.startSession()
      lane.hello(0, 0)
      let now = 0
      return Array.from({ length: 8 }, () => {
        fill(lane, 1, now)
        const due = lane.dueAt ?? 0
        const span = due - now
        now = due
        lane.tick(now)
        return Math.round(span)
      })
    }
    expect(spans(middle)).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000])
    expect(spans(() => 0).slice(1, 3)).toEqual([3_200, 6_400])
    expect(spans(() => 0.999_999).slice(1, 3)).toEqual([4_800, 9_600])
  })

  test('a batch that was sent twice cannot shorten the time-out; one that was sent once can', () => {
    const lane = greeted()
    let now = 0
    for (let round = 0; round < 4; round++) {
      fill(lane, 1, now)
      now = lane.dueAt ?? 0
      lane.tick(now)
    }
    expect(lane.timeoutMs).toBe(32_000)
    fill(lane, 1, now)
    expect(lane.confirm(1, now + 10)).toMatchObject({ delayMs: null })
    expect(lane.timeoutMs).toBe(4_000)
    fill(lane, 2, now)
    expect(lane.confirm(2, now + 100)).toMatchObject({ delayMs: 100 })
    expect(lane.timeoutMs).toBe(2_000)
  })

  test.each([2_100, 5_000, 9_000, 25_000])(
    'a link that takes %i ms is learned: in the end nothing is sent twice',
    delayMs => {
      const lane = greeted()
      let now = 0
      let sent = 0
      let twice = 0
      for (let position = 0; position < 60; position++) {
        fill(lane, position + 1, now)
        sent = now
        while (now < sent + delayMs) {
          now = Math.min(sent + delayMs, lane.dueAt ?? Number.POSITIVE_INFINITY)
          if (now < sent + delayMs && lane.tick(now)) {
            fill(lane, position + 1, now)
            if (position >= 40) twice++
          }
        }
        lane.confirm(position + 1, now)
      }
      expect(twice).toBe(0)
    },
  )

  test('resend sends again from the confirmed position, at most once in half a time-out', () => {
    const lane = greeted()
    fill(lane, 5, 0)
    lane.confirm(1, 10)
    expect(lane.resend(10)).toBe(true)
    expect(fill(lane, 5, 10)).toEqual([1, 2, 3, 4])
    expect(lane.resend(11)).toBe(false)
    expect(lane.resend(1_010)).toBe(true)
    expect(lane.window).toBe(windowBatches)
  })
})

describe('rule 9: another disk', () => {
  const same = { next: 5, tail: 77, durableEnd: 9, ownCrc: 77 }

  test('the gateway has more than this disk', () => {
    expect(isOtherDisk({ ...same, next: 10, tail: null, ownCrc: null })).toBe(true)
    expect(isOtherDisk({ ...same, next: 9 })).toBe(false)
  })

  test('the last confirmed batch is another one', () => {
    expect(isOtherDisk({ ...same, ownCrc: 78 })).toBe(true)
    expect(isOtherDisk(same)).toBe(false)
    expect(isOtherDisk({ ...same, ownCrc: 78 }, false)).toBe(false)
  })

  test('is not concluded from what is not known', () => {
    expect(isOtherDisk({ ...same, tail: null })).toBe(false)
    expect(isOtherDisk({ ...same, ownCrc: null })).toBe(false)
  })
})

test('whatever is lost, repeated or late: every position is sent until confirmed, in order, within the window', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('send' as const) }),
    fc.record({ kind: fc.constant('confirm' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({ kind: fc.constant('stale' as const), back: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 70_000 }) }),
    fc.record({ kind: fc.constant('resend' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const lane = greeted()
      const end = 60
      let now = 0
      // the gateway takes in order only, as rule 15 has it
      let next = 0
      const arrived = (positions: readonly number[], share: number) => {
        for (const position of positions.slice(0, Math.ceil(positions.length * share))) if (position === next) next++
      }
      let flying: number[] = []
      for (const action of steps) {
        if (action.kind === 'send') {
          const before = lane.inFlight
          const sent = fill(lane, end, now)
          expect(before + sent.length).toBeLessThanOrEqual(windowBatches)
          flying = [...flying, ...sent]
        } else if (action.kind === 'confirm') {
          arrived(flying, action.share)
          flying = []
          lane.confirm(next, now)
          expect(lane.acked).toBe(next)
        } else if (action.kind === 'stale') {
          const acked = lane.acked ?? 0
          if (acked >= action.back) lane.confirm(acked - action.back, now)
          expect(lane.acked).toBe(acked)
        } else if (action.kind === 'wait') {
          now += action.ms
          lane.tick(now)
        } else lane.resend(now)
      }
      for (let round = 0; round < 200 && next < end; round++) {
        arrived(fill(lane, end, now), 1)
        lane.confirm(next, now)
        now += 61_000 * 1.2
        lane.tick(now)
      }
      expect(next).toBe(end)
    }),
    { numRuns: Number(process.env.PENSTOCK_RUNS ?? 100) },
  )
})
