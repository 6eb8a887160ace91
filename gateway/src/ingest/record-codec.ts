import {
  type DataType,
  dataTypes,
  deliveryClasses,
  type Quality,
  qualities,
  type Reading,
  type Reason,
} from '@penstock/core/reading.ts'
import type { Dictionary, LogRecord } from '@penstock/core/runtime/durable-log.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { BatchEntry, InboxEntry, LiveEntry, LossEntry } from './record.ts'

/**
 * Positions of all edges as a record of the inbox itself, so that dropping old segments never loses them. Consumers never see it.
 */
export interface CheckpointEntry {
  readonly kind: 'checkpoint'
  /** JSON of the fold, see `fold.ts` */
  readonly state: string
}

export type StoredEntry = InboxEntry | CheckpointEntry

// First byte of a record. Numbers are never used again for something else.
const kinds = { json: 0, batch: 1, loss: 2, live: 3 } as const

// One byte before each value: type (bits 0–2), quality (3–4), value present (5), and bit 6: `true` of a Boolean, or a Float that
// 32 bits do not hold.
const presentBit = 1 << 5
const extraBit = 1 << 6

const writer = new ByteWriter()

/**
 * The bytes of an entry, as a record of the inbox: batches and live values binary (tags by the dictionary of the segment, times as
 * differences), the rest JSON. Exact for every value, 64-bit integers included.
 */
export function encodeEntry(entry: StoredEntry, dictionary: Dictionary): Uint8Array {
  writer.reset()
  switch (entry.kind) {
    case 'batch':
      encodeBatch(entry, dictionary)
      break
    case 'loss':
      encodeLoss(entry, dictionary)
      break
    case 'live':
      encodeLive(entry, dictionary)
      break
    default:
      writer.u8(kinds.json)
      writer.text(JSON.stringify(entry))
  }
  return writer.take()
}

/**
 * `withReadings` false: without the readings of batches and live values, which the fold of positions does not need.
 * @throws RangeError or SyntaxError when the record was not written by `encodeEntry`
 */
export function decodeEntry(record: Pick<LogRecord, 'body' | 'entries'>, withReadings = true): StoredEntry {
  const reader = new ByteReader(record.body)
  const kind = reader.u8()
  switch (kind) {
    case kinds.batch:
      return decodeBatch(reader, record.entries, withReadings)
    case kinds.loss:
      return decodeLoss(reader, record.entries)
    case kinds.live:
      return decodeLive(reader, record.entries, withReadings)
    case kinds.json:
      return JSON.parse(reader.text()) as StoredEntry
    default:
      throw new RangeError(`unknown kind of record ${kind}`)
  }
}

function encodeBatch(entry: BatchEntry, dictionary: Dictionary): void {
  writer.u8(kinds.batch)
  writer.varint(dictionary.idOf(entry.edge))
  writer.varint(dictionary.idOf(entry.epoch))
  writer.u8(deliveryClasses.indexOf(entry.class) | (entry.live ? 4 : 0))
  writer.varint(entry.pos)
  writer.signed(entry.pos - entry.from)
  writer.u32(entry.crc)
  writer.f64(entry.receivedAt)
  writer.signed(entry.skewMs)
  encodeReadings(entry.readings, entry.receivedAt, dictionary)
}

function decodeBatch(reader: ByteReader, entries: readonly string[], withReadings: boolean): BatchEntry {
  const edge = entryOf(entries, reader.varint())
  const epoch = entryOf(entries, reader.varint())
  const flags = reader.u8()
  const pos = reader.varint()
  const from = pos - reader.signed()
  const crc = reader.u32()
  const receivedAt = reader.f64()
  const skewMs = reader.signed()
  const readings = withReadings ? decodeReadings(reader, receivedAt, entries) : []
  const live = (flags & 4) !== 0
  return { kind: 'batch', edge, epoch, class: classOf(flags & 3), from, pos, crc, receivedAt, skewMs, live, readings }
}

function encodeLoss(entry: LossEntry, dictionary: Dictionary): void {
  writer.u8(kinds.loss)
  writer.varint(dictionary.idOf(entry.edge))
  writer.varint(dictionary.idOf(entry.epoch))
  writer.u8(
    deliveryClasses.indexOf(entry.class) |
      (entry.reason === null ? 0 : 4) |
      (entry.firstMs === null ? 0 : 8) |
      (entry.lastMs === null ? 0 : 16),
  )
  writer.varint(entry.from)
  writer.varint(entry.to)
  writer.f64(entry.receivedAt)
  if (entry.reason !== null) writer.text(entry.reason)
  if (entry.firstMs !== null) writer.f64(entry.firstMs)
  if (entry.lastMs !== null) writer.f64(entry.lastMs)
}

function decodeLoss(reader: ByteReader, entries: readonly string[]): LossEntry {
  const edge = entryOf(entries, reader.varint())
  const epoch = entryOf(entries, reader.varint())
  const flags = reader.u8()
  const from = reader.varint()
  const to = reader.varint()
  const receivedAt = reader.f64()
  const reason = flags & 4 ? reader.text() : null
  const firstMs = flags & 8 ? reader.f64() : null
  const lastMs = flags & 16 ? reader.f64() : null
  return { kind: 'loss', edge, epoch, class: classOf(flags & 3), from, to, receivedAt, reason, firstMs, lastMs }
}

function encodeLive(entry: LiveEntry, dictionary: Dictionary): void {
  writer.u8(kinds.live)
  writer.varint(dictionary.idOf(entry.edge))
  writer.f64(entry.receivedAt)
  writer.signed(entry.skewMs)
  encodeReadings(entry.readings, entry.receivedAt, dictionary)
}

function decodeLive(reader: ByteReader, entries: readonly string[], withReadings: boolean): LiveEntry {
  const edge = entryOf(entries, reader.varint())
  const receivedAt = reader.f64()
  const skewMs = reader.signed()
  const readings = withReadings ? decodeReadings(reader, receivedAt, entries) : []
  return { kind: 'live', edge, receivedAt, skewMs, readings }
}

function encodeReadings(readings: readonly Reading[], base: number, dictionary: Dictionary): void {
  writer.varint(readings.length)
  let time = base
  for (const reading of readings) {
    const { value, type } = reading
    writer.varint(dictionary.idOf(reading.tag))
    let head = typeNumbers[type] | (qualityNumbers[reading.quality] << 3)
    if (value !== null) head |= presentBit
    if (value === true || (type === 'Float' && typeof value === 'number' && !Object.is(Math.fround(value), value)))
      head |= extraBit
    writer.u8(head)
    if (reading.quality !== 'good') writer.varint(reading.reason === null ? 0 : dictionary.idOf(reading.reason) + 1)
    writer.signed(reading.sourceTimestamp - time)
    time = reading.sourceTimestamp
    if (typeof value === 'number') encodeNumber(value, type, (head & extraBit) !== 0)
    else if (typeof value === 'bigint') writer.big64(value)
    else if (typeof value === 'string') writer.text(value)
  }
}

function encodeNumber(value: number, type: DataType, wide: boolean): void {
  if (type === 'Float' && !wide) writer.f32(value)
  else if (type === 'Int32' || type === 'UInt32') writer.signed(value)
  else writer.f64(value)
}

function decodeReadings(reader: ByteReader, base: number, entries: readonly string[]): Reading[] {
  const readings: Reading[] = []
  let time = base
  for (let count = reader.varint(); count > 0; count--) {
    const tag = entryOf(entries, reader.varint())
    const head = reader.u8()
    const type = dataTypes[head & 7] ?? 'Double'
    const quality = qualities[(head >> 3) & 3] ?? 'bad'
    const reasonId = quality === 'good' ? 0 : reader.varint()
    const reason = reasonId === 0 ? null : (entryOf(entries, reasonId - 1) as Reason)
    const sourceTimestamp = time + reader.signed()
    time = sourceTimestamp
    const value = head & presentBit ? decodeValue(reader, type, (head & extraBit) !== 0) : null
    readings.push({ tag, type, value, quality, reason, sourceTimestamp })
  }
  return readings
}

function decodeValue(reader: ByteReader, type: DataType, extra: boolean): Reading['value'] {
  switch (type) {
    case 'Boolean':
      return extra
    case 'Int32':
    case 'UInt32':
      return reader.signed()
    case 'Int64':
      return reader.i64()
    case 'UInt64':
      return reader.u64()
    case 'Float':
      return extra ? reader.f64() : reader.f32()
    case 'Double':
      return reader.f64()
    case 'String':
      return reader.text()
  }
}

const typeNumbers = Object.fromEntries(dataTypes.map((type, index) => [type, index])) as Record<DataType, number>
const qualityNumbers = Object.fromEntries(qualities.map((name, index) => [name, index])) as Record<Quality, number>

function entryOf(entries: readonly string[], id: number): string {
  const entry = entries[id]
  if (entry === undefined) throw new RangeError(`the dictionary of the segment has no entry ${id}`)
  return entry
}

function classOf(index: number): BatchEntry['class'] {
  const name = deliveryClasses[index]
  if (name === undefined) throw new RangeError(`unknown class ${index}`)
  return name
}
