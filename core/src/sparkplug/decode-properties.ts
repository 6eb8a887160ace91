import type { PropertySet, PropertyValue } from './payload.ts'
import { badPayload, maxDepth, type Reader } from './reader.ts'

/** One PropertySet message, from its length on. */
export function decodeProperties(reader: Reader, depth: number): PropertySet {
  if (depth > maxDepth) badPayload('nested too deeply')
  const outer = reader.enter()
  const keys: string[] = []
  const values: PropertyValue[] = []
  while (reader.more) {
    const key = reader.key()
    if (key === 0x0a) {
      reader.count()
      keys.push(reader.string())
    } else if (key === 0x12) values.push(decodeProperty(reader, depth))
    else reader.skipUnknown(key, 2)
  }
  reader.leave(outer)
  // tck-id-payloads-propertyset-keys-array-size: otherwise nobody knows which value belongs to which key
  if (keys.length !== values.length) badPayload('a property set with another number of keys than of values')
  const properties = new Map<string, PropertyValue>()
  for (const [index, key] of keys.entries()) {
    const value = values[index]
    if (value) properties.set(key, value)
  }
  return properties
}

function decodeProperty(reader: Reader, depth: number): PropertyValue {
  const outer = reader.enter()
  let type: number | undefined
  let isNull: boolean | undefined
  let wire: PropertyValue['wire']
  let value: PropertyValue['value']
  while (reader.more) {
    const key = reader.key()
    switch (key) {
      case 0x08:
        type = reader.uint32()
        break
      case 0x10:
        isNull = reader.boolean()
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
        wire = 'set'
        value = decodeProperties(reader, depth + 1)
        break
      case 0x52:
        wire = 'list'
        value = decodePropertyList(reader, depth + 1)
        break
      case 0x5a:
        wire = 'extension'
        value = reader.bytes()
        break
      default:
        reader.skipUnknown(key, 11)
    }
  }
  reader.leave(outer)
  return { type, isNull, wire, value }
}

function decodePropertyList(reader: Reader, depth: number): PropertySet[] {
  const outer = reader.enter()
  const sets: PropertySet[] = []
  while (reader.more) {
    const key = reader.key()
    if (key === 0x0a) sets.push(decodeProperties(reader, depth + 1))
    else reader.skipUnknown(key, 1)
  }
  reader.leave(outer)
  return sets
}
