import type { BatchReading } from '@penstock/core/delivery/batch.ts'
import { type DataType, dataTypes, type Quality, type Reason, type Value } from '@penstock/core/reading.ts'
import { decodeRecord, encodeRecord, kindOf, parseKind, type StoredBatch } from '@penstock/edge/uplink/record.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'

class Entries {
  readonly list: string[] = []

  idOf(entry: string): number {
    const known = this.list.indexOf(entry)
    return known >= 0 ? known : this.list.push(entry) - 1
  }
}

const values: Record<DataType, fc.Arbitrary<Value>> = {
  Boolean: fc.boolean(),
  Int32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  UInt32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  Int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  UInt64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  Float: fc.float({ noNaN: true, noDefaultInfinity: true }),
  Double: fc.double({ noNaN: true, noDefaultInfinity: true }),
  String: fc.string({ unit: 'binary' }),
}

const qualities: readonly (readonly [Quality, Reason | null])[] = [
  ['good', null],
  ['uncertain', 'clock'],
  ['uncertain', 'inhibit'],
  ['bad', 'timeout'],
  ['bad', 'not-a-number'],
]

const stored = fc.constantFrom(...dataTypes).chain(type =>
  fc.record({
    name: fc.constantFrom('a', 'b', 'flow'),
    value: values[type],
    state: fc.constantFrom(...qualities),
    sourceTimestamp: fc.integer({ min: -1000, max: 4e12 }),
    monotonicMs: fc.integer({ min: 0, max: 4e12 }),
    type: fc.constant(type),
  }),
)

const batches = fc.record({
  device: fc.option(fc.constantFrom('plant:fm-1', '水厂:一号')),
  bootId: fc.constantFrom('boot-1', 'boot-2'),
  clockless: fc.boolean(),
  readings: fc.array(stored, { maxLength: 40 }),
})

test('what was encoded comes back, whatever the types, qualities and steps of the clock', () => {
  const entries = new Entries()
  const known = new Map()
  fc.assert(
    fc.property(batches, ({ readings, ...rest }) => {
      const batch: StoredBatch = {
        ...rest,
        class: 'raw',
        readings: readings.map(({ name, state: [quality, reason], value, ...reading }) => ({
          ...reading,
          tag: `plant/fm-1/${name}`,
          value: quality === 'bad' ? null : value,
          quality,
          reason,
        })),
        kinds: readings.map(({ name, type }) =>
          kindOf({ tag: `plant/fm-1/${name}`, type, unit: 'm3', resolution: '0.001', modulus: null }),
        ),
      }
      const body = encodeRecord(batch, entries)
      expect(decodeRecord(body, entries.list, 'raw', known)).toEqual(batch)
    }),
    { numRuns: Number(process.env.PENSTOCK_RUNS ?? 200) },
  )
})

test('a damaged body is refused, it never gives other readings silently out of bounds', () => {
  const entries = new Entries()
  const reading: BatchReading = {
    ...{ tag: 'plant/fm-1/flow', value: 1.5, quality: 'good', reason: null, sourceTimestamp: 1000, monotonicMs: 10 },
    type: 'Double',
  }
  const kind = kindOf({ tag: reading.tag, type: 'Double', unit: null, resolution: null, modulus: null })
  const batch: StoredBatch = {
    ...{ class: 'raw', device: 'plant:fm-1', bootId: 'b', clockless: false },
    readings: [reading],
    kinds: [kind],
  }
  const body = encodeRecord(batch, entries)
  for (let length = 0; length < body.length; length++) {
    expect(() => decodeRecord(body.subarray(0, length), entries.list, 'raw', new Map())).toThrow()
  }
  expect(() => decodeRecord(body, [], 'raw', new Map())).toThrow('no dictionary entry')
  expect(() => decodeRecord(Uint8Array.of(9), entries.list, 'raw', new Map())).toThrow('version 9')
})

test('a dictionary entry is a tag only if it says all that a birth needs', () => {
  const kind = kindOf({ tag: 'a/b/c', type: 'Int64', unit: 'm3', resolution: '0.001', modulus: '1000' })
  expect(parseKind(kind)).toEqual({ tag: 'a/b/c', type: 'Int64', unit: 'm3', resolution: '0.001', modulus: '1000' })
  for (const other of ['', 'device a:b', '{', '{}', '{"tag":"a/b/c","type":"Complex"}'])
    expect(parseKind(other)).toBeNull()
})

test('a reading of a usual batch takes about as much as `--check` counts with', () => {
  const readings = Array.from(
    { length: 20 },
    (_, index): BatchReading => ({
      ...{ tag: `plant/fm-1/t${index}`, value: index * 1.1, quality: 'good', reason: null },
      ...{ sourceTimestamp: 1_795_262_400_000 + index, monotonicMs: 5_000_000 + index },
      type: 'Double',
    }),
  )
  const kinds = readings.map(({ tag, type }) => kindOf({ tag, type, unit: null, resolution: null, modulus: null }))
  const entries = new Entries()
  const batch: StoredBatch = { class: 'raw', device: 'plant:fm-1', bootId: 'b', clockless: false, readings, kinds }
  expect(encodeRecord(batch, entries).length / readings.length).toBeLessThan(14)
})
