import { dataTypes, deliveryClasses, qualities, reasons } from '@penstock/core/reading.ts'
import { idPattern } from '@penstock/core/tag.ts'
import { type Static, Type } from 'typebox'
import { named, nullable, strict, Text, Timestamp } from './named.ts'

export const Id = Type.String({ pattern: idPattern })
export const QualityName = named('Quality', Type.Enum([...qualities]))
export const ReasonName = named('Reason', Type.Enum([...reasons]))
export const DataTypeName = named('DataType', Type.Enum([...dataTypes]))
export const ClassName = named('DeliveryClass', Type.Enum([...deliveryClasses]))

export const JsonValue = named(
  'Value',
  Type.Union([Type.Boolean(), Type.Number(), Type.String()], {
    description: 'Int64 and UInt64 travel as decimal text, so that no digit is lost; see `type` of the tag',
  }),
)

export const Tag = named(
  'Tag',
  Type.Object({
    tag: Type.String({ description: 'site/device/tag' }),
    site: Type.String(),
    device: Type.String(),
    name: Type.String({ description: 'third part of the tag' }),
    siteName: nullable(Text),
    deviceName: nullable(Text),
    area: nullable(Type.String()),
    edge: Type.String({ description: 'group/edge that serves it' }),
    type: DataTypeName,
    class: ClassName,
    unit: nullable(Type.String()),
    value: nullable(JsonValue),
    quality: QualityName,
    reason: nullable(ReasonName),
    sourceTimestamp: Timestamp,
    receivedAt: Timestamp,
    ageMs: Type.Integer({ description: 'time since the value was received, at the time of the answer' }),
    lastGood: nullable(Type.Object({ value: JsonValue, sourceTimestamp: Timestamp })),
    scanMs: nullable(Type.Number()),
    deadband: nullable(Type.Number()),
    heartbeatMs: nullable(Type.Number()),
    resolution: nullable(Type.String({ description: 'totals: unit per count, e.g. "0.001"' })),
    modulus: nullable(Type.String({ description: 'totals: count at which the register starts again from 0' })),
  }),
)
export type TagBody = Static<typeof Tag>

export const TagList = named(
  'TagList',
  Type.Object({
    at: Timestamp,
    snapshot: Type.Integer({ description: 'version of the live table' }),
    tags: Type.Array(Tag),
  }),
)

export const TagQuery = Type.Object({ site: Type.Optional(Id), device: Type.Optional(Id) }, strict)
export const TagParams = Type.Object({ site: Id, device: Id, tag: Id }, strict)

export const StoredReadingBody = named(
  'StoredReading',
  Type.Object({
    sourceTimestamp: Timestamp,
    value: nullable(JsonValue),
    quality: QualityName,
    reason: nullable(ReasonName),
  }),
)

export const ReadingList = named(
  'ReadingList',
  Type.Object({
    tag: Type.String(),
    unit: nullable(Type.String()),
    resolution: nullable(Type.String()),
    readings: Type.Array(StoredReadingBody, { description: 'ascending by source time' }),
    next: nullable(Type.Integer({ description: 'give it as `from` (with the same `to`) to go on; null at the end' })),
  }),
)

export const ReadingQuery = Type.Object(
  {
    tag: Type.String({ pattern: '^[^/]+/[^/]+/[^/]+$', description: 'site/device/tag' }),
    from: Type.Integer({ description: 'ms UTC, inclusive' }),
    to: Type.Integer({ description: 'ms UTC, exclusive' }),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 50_000, default: 5_000 })),
  },
  strict,
)

export const TrendQuery = Type.Object(
  {
    tag: Type.String({ pattern: '^[^/]+/[^/]+/[^/]+$' }),
    from: Type.Integer(),
    to: Type.Integer(),
    step: Type.Enum(['1m', '1h']),
  },
  strict,
)

export const Trend = named(
  'Trend',
  Type.Object({
    tag: Type.String(),
    stepMs: Type.Integer(),
    buckets: Type.Array(
      Type.Object({
        start: Timestamp,
        count: Type.Integer({ description: 'good and uncertain numbers in the bucket' }),
        mean: Type.Number(),
        min: Type.Number(),
        max: Type.Number(),
        last: Type.Number(),
      }),
    ),
  }),
)
