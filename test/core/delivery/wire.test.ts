import { alarmLimitsHash, formatAlarmLimits, parseAlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import {
  type BatchHead,
  type Confirm,
  decodeBatchHead,
  encodeBatchHead,
  endMetric,
  firstMetric,
  formatConfirm,
  metricNames,
  newSession,
  parseConfirm,
} from '@penstock/core/delivery/wire.ts'
import { deliveryClasses } from '@penstock/core/reading.ts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const position = fc.oneof(fc.constantFrom(0, 1, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER), fc.maxSafeNat())
const crc = fc.nat(2 ** 32 - 1)

describe('head of a batch', () => {
  test('there and back', () => {
    const heads = fc
      .record({ session: position, class: fc.constantFrom(...deliveryClasses), a: position, b: position, crc })
      .map(({ a, b, ...head }): BatchHead => ({ ...head, from: Math.min(a, b), pos: Math.max(a, b) }))
    fc.assert(
      fc.property(heads, head => {
        expect(decodeBatchHead(encodeBatchHead(head))).toEqual({ value: head, problem: null })
      }),
      { numRuns: 200 },
    )
  })

  test('pinned bytes', () => {
    const bytes = encodeBatchHead({ session: 300, class: 'raw', from: 1, pos: 2, crc: 0 })
    expect(Buffer.from(bytes).toString('hex')).toBe('08ac021003180120022800')
  })

  test.each([
    ['', /without/],
    ['08ac0210031801280020', /cut off/],
    ['08ac02100318012800', /without/],
    ['08ac021000180120022800', /without/],
    ['08ac021004180120022800', /without/],
    ['08ac021003180320022800', /from 3 above pos 2/],
    ['08ac02100318012002288080808010', /crc/],
    ['08ffffffffffffffffff011003180120022800', /session/],
    ['0a0102', /wire type 2/],
  ])('%s is none', (text, problem) => {
    const { value, problem: found } = decodeBatchHead(Buffer.from(text, 'hex'))
    expect(value).toBeNull()
    expect(found).toMatch(problem)
  })

  test('random bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
        decodeBatchHead(bytes)
      }),
      { numRuns: 1000 },
    )
  })

  test('a session is a number that JSON keeps, and never 0', () => {
    expect(newSession(below => below - 1)).toBe(Number.MAX_SAFE_INTEGER)
    expect(newSession(() => 0)).toBe(1)
  })
})

const confirm: Confirm = {
  host: 'penstock',
  ledger: 'b1a9c2f0-0000-4000-8000-000000000001',
  epoch: '8123456789012345678',
  session: Number.MAX_SAFE_INTEGER,
  next: { alarm: 0, total: 5, raw: 123_456 },
  tail: { alarm: null, total: 4_294_967_295, raw: 0 },
  resend: ['raw'],
}

describe('confirmation', () => {
  test('there and back', () => {
    expect(parseConfirm(formatConfirm(confirm))).toEqual({ value: confirm, problem: null })
  })

  test('pinned text', () => {
    expect(formatConfirm(confirm)).toBe(
      '{"v":1,"host":"penstock","ledger":"b1a9c2f0-0000-4000-8000-000000000001","epoch":"8123456789012345678","session":9007199254740991,"next":{"alarm":0,"total":5,"raw":123456},"tail":{"alarm":null,"total":4294967295,"raw":0},"resend":["raw"]}',
    )
  })

  const changed = (change: object): string => JSON.stringify({ v: 1, ...confirm, ...change })

  test('unknown members are let pass', () => {
    expect(parseConfirm(changed({ later: 1 })).value).toEqual(confirm)
  })

  test.each([
    ['not JSON', '{'],
    ['an array', '[]'],
    ['null', 'null'],
    ['another version', changed({ v: 2 })],
    ['no host', changed({ host: '' })],
    ['a ledger that is a number', changed({ ledger: 5 })],
    ['an endless epoch', changed({ epoch: 'x'.repeat(300) })],
    ['a session that is a text', changed({ session: '5' })],
    ['a session beyond 2^53', changed({ session: 2 ** 53 })],
    ['a negative position', changed({ next: { ...confirm.next, raw: -1 } })],
    ['a fraction', changed({ next: { ...confirm.next, raw: 1.5 } })],
    ['a missing class', changed({ next: { alarm: 0, total: 5 } })],
    ['no tail', changed({ tail: undefined })],
    ['a missing tail', changed({ tail: { alarm: null, total: 1 } })],
    ['a tail beyond 32 bits', changed({ tail: { ...confirm.tail, raw: 2 ** 32 } })],
    ['resend of nothing known', changed({ resend: ['raw', 'everything'] })],
    ['resend that is a text', changed({ resend: 'raw' })],
  ])('%s is refused', (_, text) => {
    const { value, problem } = parseConfirm(text)
    expect(value).toBeNull()
    expect(problem).not.toBe('')
  })
})

describe('alarm limits', () => {
  const limits = new Map([
    ['waterworks/cl2-1/concentration', [1, 0.5, 3]],
    ['cold-store/nh3-1/concentration', [25]],
  ])

  test('there and back, sorted', () => {
    const { value } = parseAlarmLimits(formatAlarmLimits(limits))
    expect(value?.hash).toBe(alarmLimitsHash(limits))
    expect(value?.limits.get('waterworks/cl2-1/concentration')).toEqual([0.5, 1, 3])
  })

  test('the hash does not depend on the order, but on every limit', () => {
    expect(alarmLimitsHash(new Map([...limits].reverse()))).toBe(alarmLimitsHash(limits))
    expect(alarmLimitsHash(new Map([...limits, ['a/b/c', [1]]]))).not.toBe(alarmLimitsHash(limits))
    expect(alarmLimitsHash(new Map())).not.toBe('')
  })

  test.each([
    '',
    '[]',
    '{}',
    '{"hash":"x","limits":[]}',
    '{"hash":"x","limits":{"a/b/c":["1"]}}',
    '{"hash":"x","limits":{}}',
  ])('%s is refused', text => {
    expect(parseAlarmLimits(text).value).toBeNull()
  })
})

test('names of metrics that both sides use', () => {
  expect(metricNames).toMatchInlineSnapshot(`
    {
      "alarmLimits": "Node Control/Alarm Limits",
      "alarmLimitsHash": "Properties/Alarm Limits Hash",
      "bdSeq": "bdSeq",
      "clockSynchronised": "Properties/Clock Synchronised",
      "confirm": "Node Control/Delivery Confirm",
      "diagnostics": "Properties/Diagnostics",
      "epoch": "Delivery/Epoch",
      "hardwareId": "Properties/Hardware Id",
      "ledger": "Properties/Ledger",
      "loss": "Delivery/Loss",
      "rebirth": "Node Control/Rebirth",
      "session": "Delivery/Session",
      "software": "Properties/Software",
      "version": "Delivery/Version",
    }
  `)
  expect([firstMetric('alarm'), endMetric('raw')]).toEqual(['Delivery/alarm/First', 'Delivery/raw/End'])
})
