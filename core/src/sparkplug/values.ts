import type { Value } from '../reading.ts'
import { datatypeNumbers, type SparkplugType } from './datatypes.ts'
import type { DataSet, Metric, MetricWire, PropertySet, Template, WireValue } from './payload.ts'

/** A value that means something: Int64, UInt64 and DateTime are bigint, the smaller integers and floats number. */
export type TypedValue = Value | Uint8Array | DataSet | Template

/** What `metric` needs beside the value. A DATA metric has an alias and no datatype; births and commands have both. */
export interface MetricFields {
  readonly name?: string
  readonly alias?: number
  /** ms UTC */
  readonly timestamp?: number
  readonly isHistorical?: boolean
  readonly isTransient?: boolean
  readonly properties?: PropertySet | undefined
}

/** A metric as births carry it: the datatype is on the wire. `value` null: is_null. */
export const birthMetric = (type: SparkplugType, value: TypedValue | null, fields: MetricFields): Metric =>
  metric(type, value, fields, datatypeNumbers[type])

/** A metric as DATA and commands carry it, without datatype (tck-id-payloads-metric-datatype-not-req). `value` null: is_null. */
export const dataMetric = (type: SparkplugType, value: TypedValue | null, fields: MetricFields): Metric =>
  metric(type, value, fields, undefined)

function metric(
  type: SparkplugType,
  value: TypedValue | null,
  fields: MetricFields,
  datatype: number | undefined,
): Metric {
  const isNull = value === null
  return {
    name: fields.name,
    alias: fields.alias,
    timestamp: fields.timestamp,
    datatype,
    isHistorical: fields.isHistorical || undefined,
    isTransient: fields.isTransient || undefined,
    isNull: isNull || undefined,
    metadata: undefined,
    properties: fields.properties,
    wire: isNull ? undefined : wireOf(type),
    value: isNull ? undefined : wireValue(type, value),
  }
}

/** The member of the `oneof` that a type is sent in (specification 6.4.16). */
export function wireOf(type: SparkplugType): MetricWire {
  switch (type) {
    case 'Int8':
    case 'Int16':
    case 'Int32':
    case 'UInt8':
    case 'UInt16':
    case 'UInt32':
      return 'int'
    case 'Int64':
    case 'UInt64':
    case 'DateTime':
      return 'long'
    case 'Float':
      return 'float'
    case 'Double':
      return 'double'
    case 'Boolean':
      return 'boolean'
    case 'String':
    case 'Text':
    case 'UUID':
      return 'string'
    case 'DataSet':
      return 'dataset'
    case 'Template':
      return 'template'
    case 'Unknown':
    case 'PropertySet':
    case 'PropertySetList':
      throw new TypeError(`${type} is not a type of a metric`)
    default:
      return 'bytes'
  }
}

/** Signed integers travel as two's complement in the unsigned fields, as Tahu writes them: int8 −1 is 4294967295. */
function wireValue(type: SparkplugType, value: TypedValue): WireValue | DataSet | Template {
  switch (type) {
    case 'Int8':
    case 'Int16':
    case 'Int32':
    case 'UInt8':
    case 'UInt16':
    case 'UInt32':
      if (typeof value !== 'number') throw new TypeError(`${type} of a ${typeof value}`)
      return value >>> 0
    case 'Int64':
    case 'UInt64':
    case 'DateTime':
      if (typeof value !== 'bigint') throw new TypeError(`${type} of a ${typeof value}`)
      return BigInt.asUintN(64, value)
    default:
      return value
  }
}

/**
 * The value of a decoded metric as the type of its birth says. null: the metric says that there is none.
 * undefined: what was sent cannot be a value of this type. Floats may be NaN or infinite.
 * Integers of other width and floats of the other width are taken when nothing is lost.
 */
export function typedValue(metric: Metric, type: SparkplugType): TypedValue | null | undefined {
  const { wire, value } = metric
  if (metric.isNull || wire === undefined || value === undefined) return null
  switch (type) {
    case 'Boolean':
      return typeof value === 'boolean' ? value : value === 0 ? false : value === 1 ? true : undefined
    case 'Double':
    case 'Float':
      if (wire === 'double' || wire === 'float') return value as number
      if (wire === 'int') return value as number
      return wire === 'long' ? exactNumber(value as bigint) : undefined
    case 'Int32':
      return signed(wire, value, 32)
    case 'Int16':
      return signed(wire, value, 16)
    case 'Int8':
      return signed(wire, value, 8)
    case 'UInt32':
      return unsigned(wire, value, 0xffffffff)
    case 'UInt16':
      return unsigned(wire, value, 0xffff)
    case 'UInt8':
      return unsigned(wire, value, 0xff)
    case 'Int64':
      if (wire === 'long') return BigInt.asIntN(64, value as bigint)
      // from 2^31 on nobody knows whether the sender meant a negative number
      return wire === 'int' && (value as number) < 2 ** 31 ? BigInt(value as number) : undefined
    case 'UInt64':
    case 'DateTime':
      if (wire === 'long') return value as bigint
      return wire === 'int' ? BigInt(value as number) : undefined
    case 'String':
    case 'Text':
    case 'UUID':
      return typeof value === 'string' ? value : undefined
    case 'Unknown':
    case 'PropertySet':
    case 'PropertySetList':
      return undefined
    default:
      return wire === wireOf(type) ? (value as TypedValue) : undefined
  }
}

function signed(wire: MetricWire, value: unknown, bits: 8 | 16 | 32): number | undefined {
  const most = 2 ** (bits - 1) - 1
  let number: number
  if (wire === 'int') number = (value as number) | 0
  else if (wire === 'long') {
    const wide = BigInt.asIntN(64, value as bigint)
    // also a 32-bit two's complement that a sender widened without its sign
    number = wide >= 2n ** 31n && wide < 2n ** 32n ? Number(wide) | 0 : Number(wide)
  } else return undefined
  // a narrow negative number may come in its own width: int8 −1 as 255
  if (bits < 32 && number > most && number < 2 ** bits) number -= 2 ** bits
  return number >= -most - 1 && number <= most ? number : undefined
}

function unsigned(wire: MetricWire, value: unknown, most: number): number | undefined {
  if (wire !== 'int' && wire !== 'long') return undefined
  const number = Number(value)
  return number <= most ? number : undefined
}

function exactNumber(bits: bigint): number | undefined {
  const number = Number(BigInt.asIntN(64, bits))
  return Number.isSafeInteger(number) ? number : undefined
}
