import { decodeDataSet, decodeTemplate } from './decode-complex.ts'
import { decodeProperties } from './decode-properties.ts'
import type { MetaData, Metric, MetricWire, Payload } from './payload.ts'
import { badPayload, Reader } from './reader.ts'

/** Bounds of one payload; beyond them it is refused. A payload of our own has at most some thousand elements. */
export interface DecodeLimits {
  readonly bytes: number
  /** metrics, properties, rows, cells and parameters together */
  readonly elements: number
}

export const decodeLimits: DecodeLimits = { bytes: 8 * 1024 * 1024, elements: 200_000 }

/**
 * Decodes a Sparkplug B payload; unknown fields are skipped.
 * @throws PenstockError `bad-payload` for everything that is not one, and nothing else
 */
export function decodePayload(bytes: Uint8Array, limits: DecodeLimits = decodeLimits): Payload {
  if (bytes.length > limits.bytes) badPayload(`larger than ${limits.bytes} bytes`)
  const reader = new Reader(bytes, limits.elements)
  const metrics: Metric[] = []
  let timestamp: number | undefined
  let seq: number | undefined
  let uuid: string | undefined
  let body: Uint8Array | undefined
  while (reader.more) {
    const key = reader.key()
    switch (key) {
      case 0x08:
        timestamp = reader.time()
        break
      case 0x12:
        metrics.push(decodeMetric(reader, 0))
        break
      case 0x18:
        seq = reader.number()
        break
      case 0x22:
        uuid = reader.string()
        break
      case 0x2a:
        body = reader.bytes()
        break
      default:
        reader.skipUnknown(key, 5)
    }
  }
  return { timestamp, metrics, seq, uuid, body }
}

/** One Metric message, from its length on. */
export function decodeMetric(reader: Reader, depth: number): Metric {
  const outer = reader.enter()
  let name: string | undefined
  let alias: number | undefined
  let timestamp: number | undefined
  let datatype: number | undefined
  let isHistorical: boolean | undefined
  let isTransient: boolean | undefined
  let isNull: boolean | undefined
  let metadata: MetaData | undefined
  let properties: Metric['properties']
  let wire: MetricWire | undefined
  let value: Metric['value']
  while (reader.more) {
    const key = reader.key()
    switch (key) {
      case 0x0a:
        name = reader.string()
        break
      case 0x10:
        alias = reader.exact('an alias')
        break
      case 0x18:
        timestamp = reader.time()
        break
      case 0x20:
        datatype = reader.uint32()
        break
      case 0x28:
        isHistorical = reader.boolean()
        break
      case 0x30:
        isTransient = reader.boolean()
        break
      case 0x38:
        isNull = reader.boolean()
        break
      case 0x42:
        metadata = decodeMetaData(reader)
        break
      case 0x4a:
        properties = decodeProperties(reader, depth + 1)
        break
      case 0x50:
        wire = 'int'
        value = reader.uint32()
        break
      case 0x58:
        wire = 'long'
        value = reader.bigint()
        break
      case 0x65:
        wire = 'float'
        value = reader.float()
        break
      case 0x69:
        wire = 'double'
        value = reader.double()
        break
      case 0x70:
        wire = 'boolean'
        value = reader.boolean()
        break
      case 0x7a:
        wire = 'string'
        value = reader.string()
        break
      case 0x82:
        wire = 'bytes'
        value = reader.bytes()
        break
      case 0x8a:
        wire = 'dataset'
        value = decodeDataSet(reader)
        break
      case 0x92:
        wire = 'template'
        value = decodeTemplate(reader, depth + 1)
        break
      case 0x9a:
        wire = 'extension'
        value = reader.bytes()
        break
      default:
        reader.skipUnknown(key, 19)
    }
  }
  reader.leave(outer)
  return { name, alias, timestamp, datatype, isHistorical, isTransient, isNull, metadata, properties, wire, value }
}

function decodeMetaData(reader: Reader): MetaData {
  const outer = reader.enter()
  const meta: { -readonly [K in keyof MetaData]: MetaData[K] } = {}
  while (reader.more) {
    const key = reader.key()
    switch (key) {
      case 0x08:
        meta.isMultiPart = reader.boolean()
        break
      case 0x12:
        meta.contentType = reader.string()
        break
      case 0x18:
        meta.size = reader.bigint()
        break
      case 0x20:
        meta.seq = reader.bigint()
        break
      case 0x2a:
        meta.fileName = reader.string()
        break
      case 0x32:
        meta.fileType = reader.string()
        break
      case 0x3a:
        meta.md5 = reader.string()
        break
      case 0x42:
        meta.description = reader.string()
        break
      default:
        reader.skipUnknown(key, 8)
    }
  }
  reader.leave(outer)
  return meta
}
