import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import { dataTypeOf, datatypeNumbers, type SparkplugType, sparkplugType } from '@penstock/core/sparkplug/datatypes.ts'
import type { Metric } from '@penstock/core/sparkplug/payload.ts'
import { birthMetric, dataMetric, type TypedValue, typedValue } from '@penstock/core/sparkplug/values.ts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeWithProtobufjs } from '../../support/sparkplug-schema.ts'

const sent = (metric: Metric): Metric => decodePayload(encodePayload({ metrics: [metric] })).metrics[0] ?? {}

const integer = (bits: number, isSigned: boolean): fc.Arbitrary<number> =>
  isSigned
    ? fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 })
    : fc.integer({ min: 0, max: 2 ** bits - 1 })

const values: Partial<Record<SparkplugType, fc.Arbitrary<TypedValue>>> = {
  Int8: integer(8, true),
  Int16: integer(16, true),
  Int32: integer(32, true),
  UInt8: integer(8, false),
  UInt16: integer(16, false),
  UInt32: integer(32, false),
  Int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  UInt64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  DateTime: fc.bigInt({ min: 0n, max: 2n ** 43n }),
  Float: fc.float(),
  Double: fc.double(),
  Boolean: fc.boolean(),
  String: fc.string(),
  Text: fc.string(),
  UUID: fc.uuid(),
  Bytes: fc.uint8Array(),
  File: fc.uint8Array(),
  Int32Array: fc.uint8Array(),
  DateTimeArray: fc.uint8Array(),
}

describe('typed values', () => {
  test.each(Object.entries(values))(
    '%s: DATA without datatype gives back the value by the type of the birth',
    (name, made) => {
      const type = name as SparkplugType
      fc.assert(
        fc.property(made, value => {
          const metric = sent(dataMetric(type, value, { alias: 1 }))
          expect(metric.datatype).toBeUndefined()
          expect(typedValue(metric, type)).toEqual(value)
        }),
        { numRuns: 60 },
      )
    },
  )

  test('a birth carries the datatype', () => {
    const metric = sent(birthMetric('Int16', -5, { name: 'level', alias: 4 }))
    expect(metric).toMatchObject({ name: 'level', alias: 4, datatype: 2 })
    expect(typedValue(metric, sparkplugType(metric.datatype) ?? 'Unknown')).toBe(-5)
  })

  test.each([
    ['Int8', -1, { int: 4294967295 }],
    ['Int16', -32768, { int: 4294934528 }],
    ['Int32', -2, { int: 4294967294 }],
    ['Int64', -5n, { long: '18446744073709551611' }],
    ['UInt64', 2n ** 64n - 1n, { long: '18446744073709551615' }],
  ] as const)('%s %s travels as two’s complement in the unsigned field', (type, value, expected) => {
    const bytes = encodePayload({ metrics: [dataMetric(type, value, {})] })
    expect(decodeWithProtobufjs(bytes).metrics).toMatchObject([expected])
  })

  test('null is null, whatever stands beside it', () => {
    expect(typedValue(sent(birthMetric('Int32', null, { name: 'a' })), 'Int32')).toBeNull()
    expect(typedValue({ isNull: true, wire: 'int', value: 0 }, 'Int32')).toBeNull()
    expect(typedValue({}, 'Int32')).toBeNull()
  })

  test.each<[Metric, SparkplugType, TypedValue | undefined]>([
    [{ wire: 'int', value: 255 }, 'Int8', -1],
    [{ wire: 'int', value: 300 }, 'Int8', undefined],
    [{ wire: 'int', value: 300 }, 'UInt8', undefined],
    [{ wire: 'long', value: 2n ** 64n - 1n }, 'Int32', -1],
    [{ wire: 'long', value: 4294967295n }, 'Int32', -1],
    [{ wire: 'long', value: 4294967295n }, 'UInt32', 4294967295],
    [{ wire: 'long', value: 2n ** 32n }, 'UInt32', undefined],
    [{ wire: 'long', value: 2n ** 40n }, 'Int32', undefined],
    [{ wire: 'int', value: 7 }, 'Int64', 7n],
    [{ wire: 'int', value: 2 ** 31 }, 'Int64', undefined],
    [{ wire: 'float', value: 1.5 }, 'Double', 1.5],
    [{ wire: 'float', value: 1.5 }, 'Int32', undefined],
    [{ wire: 'long', value: 2n ** 53n }, 'Double', undefined],
    [{ wire: 'string', value: '1' }, 'Double', undefined],
    [{ wire: 'int', value: 1 }, 'Boolean', true],
    [{ wire: 'int', value: 2 }, 'Boolean', undefined],
    [{ wire: 'bytes', value: new Uint8Array(1) }, 'String', undefined],
    [{ wire: 'string', value: 'x' }, 'PropertySet', undefined],
  ])('%o as %s is %s', (metric, type, expected) => {
    expect(typedValue(metric, type)).toBe(expected)
  })

  test('a value of the wrong kind is refused when a metric is made', () => {
    expect(() => dataMetric('Int64', 5, {})).toThrow(TypeError)
    expect(() => dataMetric('Int32', 5n, {})).toThrow(TypeError)
  })
})

test('every number of a datatype has a name, and those of a tag a type of ours', () => {
  for (const [name, number] of Object.entries(datatypeNumbers)) expect(sparkplugType(number)).toBe(name)
  expect(sparkplugType(35)).toBeUndefined()
  expect(dataTypeOf('UInt16')).toBe('UInt32')
  expect(dataTypeOf('DataSet')).toBeNull()
})
