import { type DataType, dataTypes, deliveryClasses, type Reading, reasons, type Value } from '@penstock/core/reading.ts'
import type { InboxEntry } from '@penstock/gateway/ingest/record.ts'
import { decodeEntry, encodeEntry, type StoredEntry } from '@penstock/gateway/ingest/record-codec.ts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 300)

/** Encodes with a dictionary as a segment has one, and decodes. */
function throughTheLog(entry: StoredEntry): { entry: StoredEntry; bytes: number } {
  const entries: string[] = []
  const ids = new Map<string, number>()
  const idOf = (text: string) => {
    const known = ids.get(text)
    if (known !== undefined) return known
    ids.set(text, entries.length)
    return entries.push(text) - 1
  }
  const body = encodeEntry(entry, { idOf })
  return { entry: decodeEntry({ body, entries }), bytes: body.length }
}

const time = fc.oneof(
  fc.integer({ min: 1_700_000_000_000, max: 1_900_000_000_000 }),
  fc.integer({ min: 0, max: 8.64e15 }),
  fc.constant(0),
)
const position = fc.oneof(fc.nat(), fc.maxSafeNat())
const values: Record<DataType, fc.Arbitrary<Value>> = {
  Boolean: fc.boolean(),
  Int32: fc.integer(),
  UInt32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  Int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  UInt64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  Float: fc.oneof(
    fc.float({ noNaN: true, noDefaultInfinity: true }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
  ),
  Double: fc.double({ noNaN: true, noDefaultInfinity: true }),
  String: fc.string({ unit: 'grapheme' }),
}
const text = fc.string({ minLength: 1, maxLength: 20 })
const reading: fc.Arbitrary<Reading> = fc.constantFrom(...dataTypes).chain(type =>
  fc.oneof(
    fc.record({
      tag: text,
      type: fc.constant(type),
      value: values[type],
      quality: fc.constant('good' as const),
      reason: fc.constant(null),
      sourceTimestamp: time,
    }),
    fc.record({
      tag: text,
      type: fc.constant(type),
      value: values[type],
      quality: fc.constant('uncertain' as const),
      reason: fc.constantFrom(...reasons),
      sourceTimestamp: time,
    }),
    fc.record({
      tag: text,
      type: fc.constant(type),
      value: fc.constant(null),
      quality: fc.constant('bad' as const),
      reason: fc.constantFrom(...reasons),
      sourceTimestamp: time,
    }),
  ),
)
const readings = fc.array(reading, { maxLength: 30 })
const skewMs = fc.oneof(
  fc.integer({ min: -100_000, max: 100_000 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
)
const name = fc.constantFrom(...deliveryClasses)

const batch = fc
  .record({
    kind: fc.constant('batch' as const),
    edge: text,
    epoch: text,
    class: name,
    from: position,
    pos: position,
    crc: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    receivedAt: time,
    skewMs,
    live: fc.boolean(),
    readings,
  })
  .map(entry => ({ ...entry, from: Math.min(entry.from, entry.pos), pos: Math.max(entry.from, entry.pos) }))
const loss = fc.record({
  kind: fc.constant('loss' as const),
  edge: text,
  epoch: text,
  class: name,
  from: position,
  to: position,
  receivedAt: time,
  reason: fc.option(text),
  firstMs: fc.option(time),
  lastMs: fc.option(time),
})
const live = fc.record({ kind: fc.constant('live' as const), edge: text, receivedAt: time, skewMs, readings })
const edge = fc.record({
  kind: fc.constant('edge' as const),
  edge: text,
  event: fc.constantFrom('online' as const, 'device-offline' as const, 'adopted' as const),
  device: fc.option(text),
  tags: fc.array(text),
  at: time,
})
const command = fc.record({
  kind: fc.constant('command' as const),
  commandId: text,
  actor: text,
  at: time,
  command: fc.record({ type: fc.constant('reset' as const), alarm: fc.string({ unit: 'binary' }), occ: fc.nat() }),
})
const config = fc.record({
  kind: fc.constant('config' as const),
  what: fc.constantFrom('registry' as const, 'rules' as const),
  hash: text,
  content: fc.json(),
  at: time,
})
const entry: fc.Arbitrary<InboxEntry> = fc.oneof(
  batch,
  loss,
  live,
  edge,
  command,
  config,
  fc.record({ kind: fc.constant('tick' as const), at: time }),
)

describe('records of the inbox', () => {
  it('come back exactly as they were written, whatever the type', () => {
    fc.assert(
      fc.property(entry, written => {
        expect(throughTheLog(written).entry).toEqual(written)
      }),
      { numRuns },
    )
  })

  it('keep −0, the limits of 64 bits, and a Float that has more than 32 bits', () => {
    const at = { quality: 'good', reason: null, sourceTimestamp: 1 } as const
    const readings: Reading[] = [
      { tag: 'a/b/c', type: 'Double', value: -0, ...at },
      { tag: 'a/b/c', type: 'Float', value: -0, ...at },
      { tag: 'a/b/c', type: 'Float', value: 0.1, ...at },
      { tag: 'a/b/c', type: 'Int64', value: -(2n ** 63n), ...at },
      { tag: 'a/b/c', type: 'UInt64', value: 2n ** 64n - 1n, ...at },
      { tag: 'a/b/c', type: 'UInt32', value: 2 ** 32 - 1, ...at },
      { tag: 'a/b/c', type: 'Int32', value: -(2 ** 31), ...at },
    ]
    const written = { kind: 'live', edge: 'g/e', receivedAt: 5, skewMs: -1, readings } as const
    expect(throughTheLog(written).entry).toEqual(written)
  })

  it('take few bytes: 50 readings of one scan about 8 bytes each for a Float', () => {
    const readings = Array.from(
      { length: 50 },
      (_, index): Reading => ({
        tag: `site/device-${index}/flow`,
        type: 'Float',
        value: index + 0.5,
        quality: 'good',
        reason: null,
        sourceTimestamp: 1_767_225_600_000,
      }),
    )
    const written = {
      kind: 'batch',
      edge: 'g/e',
      epoch: '1',
      class: 'raw',
      from: 9,
      pos: 9,
      crc: 1,
      receivedAt: 1_767_225_600_100,
      skewMs: 3,
      live: true,
      readings,
    } as const
    expect(throughTheLog(written).bytes).toBeLessThan(400)
  })

  it('are refused when cut off or of an unknown kind', () => {
    const entries: string[] = []
    const body = encodeEntry(
      {
        kind: 'loss',
        edge: 'g/e',
        epoch: '1',
        class: 'raw',
        from: 1,
        to: 2,
        receivedAt: 3,
        reason: null,
        firstMs: null,
        lastMs: null,
      },
      { idOf: text => entries.push(text) - 1 },
    )
    for (let length = 0; length < body.length; length++) {
      expect(() => decodeEntry({ body: body.subarray(0, length), entries })).toThrow(RangeError)
    }
    expect(() => decodeEntry({ body: Uint8Array.of(200), entries })).toThrow(RangeError)
  })
})
