import { decodeMetric } from './decode.ts'
import type { DataSet, DataSetValue, Metric, Template, TemplateParameter } from './payload.ts'
import { badPayload, maxDepth, type Reader } from './reader.ts'

/** One DataSet message, from its length on. Numbers of columns, types and cells are as sent. */
export function decodeDataSet(reader: Reader): DataSet {
  const outer = reader.enter()
  const columns: string[] = []
  const types: number[] = []
  const rows: DataSetValue[][] = []
  let columnCount: bigint | undefined
  while (reader.more) {
    const key = reader.key()
    switch (key) {
      case 0x08:
        columnCount = reader.bigint()
        break
      case 0x12:
        reader.count()
        columns.push(reader.string())
        break
      case 0x18:
        reader.count()
        types.push(reader.uint32())
        break
      case 0x1a: {
        // packed form, which a reader of protobuf has to accept as well
        const packed = reader.enter()
        while (reader.more) {
          reader.count()
          types.push(reader.uint32())
        }
        reader.leave(packed)
        break
      }
      case 0x22:
        rows.push(decodeRow(reader))
        break
      default:
        reader.skipUnknown(key, 4)
    }
  }
  reader.leave(outer)
  return { columns, types, rows, columnCount }
}

function decodeRow(reader: Reader): DataSetValue[] {
  const outer = reader.enter()
  const cells: DataSetValue[] = []
  while (reader.more) {
    const key = reader.key()
    if (key === 0x0a) cells.push(decodeCell(reader))
    else reader.skipUnknown(key, 1)
  }
  reader.leave(outer)
  return cells
}

function decodeCell(reader: Reader): DataSetValue {
  const outer = reader.enter()
  let cell: DataSetValue = {}
  while (reader.more) {
    const key = reader.key()
    switch (key) {
      case 0x08:
        cell = { wire: 'int', value: reader.uint32() }
        break
      case 0x10:
        cell = { wire: 'long', value: reader.bigint() }
        break
      case 0x1d:
        cell = { wire: 'float', value: reader.float() }
        break
      case 0x21:
        cell = { wire: 'double', value: reader.double() }
        break
      case 0x28:
        cell = { wire: 'boolean', value: reader.boolean() }
        break
      case 0x32:
        cell = { wire: 'string', value: reader.string() }
        break
      case 0x3a:
        cell = { wire: 'extension', value: reader.bytes() }
        break
      default:
        reader.skipUnknown(key, 7)
    }
  }
  reader.leave(outer)
  return cell
}

/** One Template message, from its length on. */
export function decodeTemplate(reader: Reader, depth: number): Template {
  if (depth > maxDepth) badPayload('nested too deeply')
  const outer = reader.enter()
  const metrics: Metric[] = []
  const parameters: TemplateParameter[] = []
  let version: string | undefined
  let templateRef: string | undefined
  let isDefinition: boolean | undefined
  while (reader.more) {
    const key = reader.key()
    switch (key) {
      case 0x0a:
        version = reader.string()
        break
      case 0x12:
        metrics.push(decodeMetric(reader, depth))
        break
      case 0x1a:
        parameters.push(decodeParameter(reader))
        break
      case 0x22:
        templateRef = reader.string()
        break
      case 0x28:
        isDefinition = reader.boolean()
        break
      default:
        reader.skipUnknown(key, 5)
    }
  }
  reader.leave(outer)
  return { version, metrics, parameters, templateRef, isDefinition }
}

function decodeParameter(reader: Reader): TemplateParameter {
  const outer = reader.enter()
  let name: string | undefined
  let type: number | undefined
  let wire: TemplateParameter['wire']
  let value: TemplateParameter['value']
  while (reader.more) {
    const key = reader.key()
    switch (key) {
      case 0x0a:
        name = reader.string()
        break
      case 0x10:
        type = reader.uint32()
        break
      case 0x18:
        wire = 'int'
        value = reader.uint32()
        break
      case 0x20:
        wire = 'long'
        value = reader.bigint()
        break
      case 0x2d:
        wire = 'float'
        value = reader.float()
        break
      case 0x31:
        wire = 'double'
        value = reader.double()
        break
      case 0x38:
        wire = 'boolean'
        value = reader.boolean()
        break
      case 0x42:
        wire = 'string'
        value = reader.string()
        break
      case 0x4a:
        wire = 'extension'
        value = reader.bytes()
        break
      default:
        reader.skipUnknown(key, 9)
    }
  }
  reader.leave(outer)
  return { name, type, wire, value }
}
