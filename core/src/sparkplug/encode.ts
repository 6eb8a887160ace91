import type {
  DataSet,
  DataSetValue,
  MetaData,
  Metric,
  Payload,
  PropertySet,
  PropertyValue,
  Template,
  TemplateParameter,
  WireValue,
} from './payload.ts'
import { Writer } from './writer.ts'

/** Encoding is synchronous, so one buffer serves all; a huge payload does not keep its buffer. */
let scratch = new Writer()
const keptBytes = 1024 * 1024

/** Encodes a Sparkplug B payload; fields in ascending order, nothing written for undefined, zero and false written. */
export function encodePayload(payload: Payload): Uint8Array {
  const writer = scratch
  writer.reset()
  if (payload.timestamp !== undefined) {
    writer.key(0x08)
    writer.number(payload.timestamp)
  }
  for (const metric of payload.metrics) writeMetric(writer, 0x12, metric)
  if (payload.seq !== undefined) {
    writer.key(0x18)
    writer.number(payload.seq)
  }
  text(writer, 0x22, payload.uuid)
  if (payload.body !== undefined) {
    writer.key(0x2a)
    writer.bytes(payload.body)
  }
  const bytes = writer.finish()
  if (bytes.length > keptBytes) scratch = new Writer()
  return bytes
}

function writeMetric(writer: Writer, key: number, metric: Metric): void {
  writer.key(key)
  const start = writer.begin()
  text(writer, 0x0a, metric.name)
  unsigned(writer, 0x10, metric.alias)
  unsigned(writer, 0x18, metric.timestamp)
  unsigned(writer, 0x20, metric.datatype)
  flag(writer, 0x28, metric.isHistorical)
  flag(writer, 0x30, metric.isTransient)
  flag(writer, 0x38, metric.isNull)
  if (metric.metadata) writeMetaData(writer, metric.metadata)
  if (metric.properties) writeProperties(writer, 0x4a, metric.properties)
  const { value } = metric
  switch (metric.wire) {
    case undefined:
      break
    case 'bytes':
      raw(writer, 0x82, value)
      break
    case 'dataset':
      writeDataSet(writer, value as DataSet)
      break
    case 'template':
      writeTemplate(writer, value as Template)
      break
    case 'extension':
      raw(writer, 0x9a, value)
      break
    default:
      writeScalar(writer, 10, metric.wire, value)
  }
  writer.end(start)
}

/** The scalar members of a `oneof` stand in the same order everywhere, from field `first` on. */
function writeScalar(writer: Writer, first: number, wire: string, value: unknown): void {
  switch (wire) {
    case 'int':
      writer.key(first * 8)
      writer.number(value as number)
      return
    case 'long':
      writer.key((first + 1) * 8)
      writer.bigint(value as bigint)
      return
    case 'float':
      writer.key((first + 2) * 8 + 5)
      writer.float(value as number)
      return
    case 'double':
      writer.key((first + 3) * 8 + 1)
      writer.double(value as number)
      return
    case 'boolean':
      writer.key((first + 4) * 8)
      writer.boolean(value as boolean)
      return
    case 'string':
      writer.key((first + 5) * 8 + 2)
      writer.string(value as string)
  }
}

function writeMetaData(writer: Writer, meta: MetaData): void {
  writer.key(0x42)
  const start = writer.begin()
  flag(writer, 0x08, meta.isMultiPart)
  text(writer, 0x12, meta.contentType)
  wide(writer, 0x18, meta.size)
  wide(writer, 0x20, meta.seq)
  text(writer, 0x2a, meta.fileName)
  text(writer, 0x32, meta.fileType)
  text(writer, 0x3a, meta.md5)
  text(writer, 0x42, meta.description)
  writer.end(start)
}

function writeProperties(writer: Writer, key: number, properties: PropertySet): void {
  writer.key(key)
  const start = writer.begin()
  for (const name of properties.keys()) text(writer, 0x0a, name)
  for (const property of properties.values()) writeProperty(writer, property)
  writer.end(start)
}

function writeProperty(writer: Writer, property: PropertyValue): void {
  writer.key(0x12)
  const start = writer.begin()
  unsigned(writer, 0x08, property.type)
  flag(writer, 0x10, property.isNull)
  const { value } = property
  switch (property.wire) {
    case undefined:
      break
    case 'set':
      writeProperties(writer, 0x4a, value as PropertySet)
      break
    case 'list': {
      writer.key(0x52)
      const list = writer.begin()
      for (const set of value as readonly PropertySet[]) writeProperties(writer, 0x0a, set)
      writer.end(list)
      break
    }
    case 'extension':
      raw(writer, 0x5a, value)
      break
    default:
      writeScalar(writer, 3, property.wire, value)
  }
  writer.end(start)
}

function writeDataSet(writer: Writer, set: DataSet): void {
  writer.key(0x8a)
  const start = writer.begin()
  wide(writer, 0x08, set.columnCount)
  for (const column of set.columns) text(writer, 0x12, column)
  for (const type of set.types) unsigned(writer, 0x18, type)
  for (const row of set.rows) {
    writer.key(0x22)
    const rowStart = writer.begin()
    for (const cell of row) writeCell(writer, cell)
    writer.end(rowStart)
  }
  writer.end(start)
}

function writeCell(writer: Writer, cell: DataSetValue): void {
  writer.key(0x0a)
  const start = writer.begin()
  if (cell.wire === 'extension') raw(writer, 0x3a, cell.value)
  else if (cell.wire) writeScalar(writer, 1, cell.wire, cell.value)
  writer.end(start)
}

function writeTemplate(writer: Writer, template: Template): void {
  writer.key(0x92)
  const start = writer.begin()
  text(writer, 0x0a, template.version)
  for (const metric of template.metrics) writeMetric(writer, 0x12, metric)
  for (const parameter of template.parameters) writeParameter(writer, parameter)
  text(writer, 0x22, template.templateRef)
  flag(writer, 0x28, template.isDefinition)
  writer.end(start)
}

function writeParameter(writer: Writer, parameter: TemplateParameter): void {
  writer.key(0x1a)
  const start = writer.begin()
  text(writer, 0x0a, parameter.name)
  unsigned(writer, 0x10, parameter.type)
  if (parameter.wire === 'extension') raw(writer, 0x4a, parameter.value)
  else if (parameter.wire) writeScalar(writer, 3, parameter.wire, parameter.value)
  writer.end(start)
}

function text(writer: Writer, key: number, value: string | undefined): void {
  if (value === undefined) return
  writer.key(key)
  writer.string(value)
}

function unsigned(writer: Writer, key: number, value: number | undefined): void {
  if (value === undefined) return
  writer.key(key)
  writer.number(value)
}

function wide(writer: Writer, key: number, value: bigint | undefined): void {
  if (value === undefined) return
  writer.key(key)
  writer.bigint(value)
}

function flag(writer: Writer, key: number, value: boolean | undefined): void {
  if (value === undefined) return
  writer.key(key)
  writer.boolean(value)
}

function raw(writer: Writer, key: number, value: WireValue | object | undefined): void {
  writer.key(key)
  writer.bytes(value as Uint8Array)
}
