import type { Batch, BatchReading } from '@penstock/core/delivery/batch.ts'
import {
  type DataType,
  type DeliveryClass,
  dataTypes,
  type Quality,
  type Reason,
  type Value,
} from '@penstock/core/reading.ts'
import type { Dictionary } from '@penstock/core/runtime/durable-log.ts'
import { Reader } from '@penstock/core/sparkplug/reader.ts'
import { Writer } from '@penstock/core/sparkplug/writer.ts'

/**
 * What the outbox must know of a tag to publish its readings even when the site file has forgotten it.
 * As JSON it is the dictionary entry of a segment; readings refer to it by number, never by alias.
 */
export interface StoredTag {
  /** `site/device/tag`, or the metric name for what the edge itself says */
  readonly tag: string
  readonly type: DataType
  readonly unit: string | null
  readonly resolution: string | null
  readonly modulus: string | null
}

/** A batch as the outbox holds it. */
export interface StoredBatch extends Batch {
  /** The calendar was not trusted when the readings were taken: re-stamp by boot id and monotonic time before sending. */
  readonly clockless: boolean
  /** dictionary entry (JSON of StoredTag) of each reading, in the same order */
  readonly kinds: readonly string[]
}

export const kindOf = (tag: StoredTag): string =>
  JSON.stringify({
    tag: tag.tag,
    type: tag.type,
    unit: tag.unit,
    resolution: tag.resolution,
    modulus: tag.modulus,
  } satisfies StoredTag)

/** The tag of a dictionary entry; null for entries of another kind and for what cannot be read. */
export function parseKind(entry: string): StoredTag | null {
  if (!entry.startsWith('{')) return null
  try {
    const tag = JSON.parse(entry) as StoredTag
    return typeof tag.tag === 'string' && dataTypes.includes(tag.type) ? tag : null
  } catch {
    return null
  }
}

const version = 1
const withClockless = 1
const withDevice = 2

/**
 * Body of one record: version, flags, [device], boot, count, then per reading: kind, state (0: good; else entry
 * `quality reason`), source time and monotonic time as differences from the reading before, value (absent in a bad reading).
 */
export function encodeRecord(batch: StoredBatch, dictionary: Dictionary): Uint8Array {
  const writer = new Writer(64 + batch.readings.length * 16)
  writer.number(version)
  writer.number((batch.clockless ? withClockless : 0) + (batch.device === null ? 0 : withDevice))
  if (batch.device !== null) writer.number(dictionary.idOf(`device ${batch.device}`))
  writer.number(dictionary.idOf(`boot ${batch.bootId}`))
  writer.number(batch.readings.length)
  let sourceMs = 0
  let monotonicMs = 0
  for (const [index, reading] of batch.readings.entries()) {
    writer.number(dictionary.idOf(batch.kinds[index] ?? ''))
    writer.number(reading.quality === 'good' ? 0 : dictionary.idOf(`${reading.quality} ${reading.reason}`) + 1)
    const source = Math.round(reading.sourceTimestamp)
    const monotonic = Math.round(reading.monotonicMs)
    writer.number(zigzag(source - sourceMs))
    writer.number(zigzag(monotonic - monotonicMs))
    sourceMs = source
    monotonicMs = monotonic
    if (reading.quality !== 'bad') writeValue(writer, reading.type, reading.value)
  }
  return writer.finish()
}

/**
 * `known` keeps parsed dictionary entries from one record to the next.
 * @throws PenstockError `bad-payload` or RangeError for a body that `encodeRecord` did not make
 */
export function decodeRecord(
  body: Uint8Array,
  entries: readonly string[],
  deliveryClass: DeliveryClass,
  known: Map<string, StoredTag>,
): StoredBatch {
  const reader = new Reader(body, 0)
  const found = reader.number()
  if (found !== version) throw new RangeError(`outbox record of version ${found}; this program reads ${version}`)
  const flags = reader.number()
  const device = flags & withDevice ? entry(entries, reader.number()).slice('device '.length) : null
  const bootId = entry(entries, reader.number()).slice('boot '.length)
  const readings: BatchReading[] = []
  const kinds: string[] = []
  let sourceMs = 0
  let monotonicMs = 0
  for (let left = reader.number(); left > 0; left--) {
    const kind = entry(entries, reader.number())
    const { tag, type } = tagOfKind(kind, known)
    const state = reader.number()
    sourceMs += unzigzag(reader.number())
    monotonicMs += unzigzag(reader.number())
    const [quality, reason] = state === 0 ? good : stateOf(entry(entries, state - 1))
    const value = quality === 'bad' ? null : readValue(reader, type)
    readings.push({ tag, type, value, quality, reason, sourceTimestamp: sourceMs, monotonicMs })
    kinds.push(kind)
  }
  return { class: deliveryClass, device, bootId, clockless: (flags & withClockless) !== 0, readings, kinds }
}

const good = ['good', null] as const

function stateOf(text: string): readonly [Quality, Reason | null] {
  const [quality, reason] = text.split(' ')
  return [quality === 'uncertain' ? 'uncertain' : 'bad', (reason ?? null) as Reason | null]
}

function entry(entries: readonly string[], id: number): string {
  const found = entries[id]
  if (found === undefined) throw new RangeError(`no dictionary entry ${id}`)
  return found
}

function tagOfKind(kind: string, known: Map<string, StoredTag>): StoredTag {
  const seen = known.get(kind)
  if (seen) return seen
  const tag = parseKind(kind)
  if (!tag) throw new RangeError(`dictionary entry "${kind}" is no tag`)
  known.set(kind, tag)
  return tag
}

const zigzag = (value: number): number => (value >= 0 ? value * 2 : -value * 2 - 1)
const unzigzag = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2)

function writeValue(writer: Writer, type: DataType, value: Value | null): void {
  switch (type) {
    case 'Boolean':
      writer.boolean(value === true)
      return
    case 'Int32':
      writer.number(zigzag(Number(value)))
      return
    case 'UInt32':
      writer.number(Number(value))
      return
    case 'Int64':
    case 'UInt64':
      writer.bigint(BigInt(value ?? 0))
      return
    case 'Float':
      writer.float(Number(value))
      return
    case 'Double':
      writer.double(Number(value))
      return
    case 'String':
      writer.string(String(value))
      return
  }
}

function readValue(reader: Reader, type: DataType): Value {
  switch (type) {
    case 'Boolean':
      return reader.boolean()
    case 'Int32':
      return unzigzag(reader.number())
    case 'UInt32':
      return reader.number()
    case 'Int64':
      return BigInt.asIntN(64, reader.bigint())
    case 'UInt64':
      return reader.bigint()
    case 'Float':
      return reader.float()
    case 'Double':
      return reader.double()
    case 'String':
      return reader.string()
  }
}
