import type { DataType } from '../reading.ts'

/** Numbers of the Sparkplug datatypes (specification 6.4.16: basic, additional, property, array types). */
export const datatypeNumbers = {
  Unknown: 0,
  Int8: 1,
  Int16: 2,
  Int32: 3,
  Int64: 4,
  UInt8: 5,
  UInt16: 6,
  UInt32: 7,
  UInt64: 8,
  Float: 9,
  Double: 10,
  Boolean: 11,
  String: 12,
  DateTime: 13,
  Text: 14,
  UUID: 15,
  DataSet: 16,
  Bytes: 17,
  File: 18,
  Template: 19,
  PropertySet: 20,
  PropertySetList: 21,
  Int8Array: 22,
  Int16Array: 23,
  Int32Array: 24,
  Int64Array: 25,
  UInt8Array: 26,
  UInt16Array: 27,
  UInt32Array: 28,
  UInt64Array: 29,
  FloatArray: 30,
  DoubleArray: 31,
  BooleanArray: 32,
  StringArray: 33,
  DateTimeArray: 34,
} as const

export type SparkplugType = keyof typeof datatypeNumbers

const names = new Map<number, SparkplugType>(
  Object.entries(datatypeNumbers).map(([name, number]) => [number, name as SparkplugType]),
)

/** The type with this number, or undefined for a number that the specification does not have. */
export const sparkplugType = (number: number | undefined): SparkplugType | undefined =>
  number === undefined ? undefined : names.get(number)

/** The type that a tag of this Sparkplug type has with us; null for what cannot be a tag (bytes, arrays, data sets, templates). */
export function dataTypeOf(type: SparkplugType): DataType | null {
  switch (type) {
    case 'Boolean':
    case 'Int32':
    case 'UInt32':
    case 'Int64':
    case 'UInt64':
    case 'Float':
    case 'Double':
    case 'String':
      return type
    case 'Int8':
    case 'Int16':
      return 'Int32'
    case 'UInt8':
    case 'UInt16':
      return 'UInt32'
    case 'DateTime':
      return 'UInt64'
    case 'Text':
    case 'UUID':
      return 'String'
    default:
      return null
  }
}
