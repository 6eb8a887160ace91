import { deliveryVersion, endMetric, metricNames } from '@penstock/core/delivery/wire.ts'
import { type DataType, type DeliveryClass, deliveryClasses, type Reading, type Value } from '@penstock/core/reading.ts'
import { dataTypeOf, type SparkplugType, sparkplugType } from '@penstock/core/sparkplug/datatypes.ts'
import type { Metric, Payload } from '@penstock/core/sparkplug/payload.ts'
import { readProperties, readQuality } from '@penstock/core/sparkplug/properties.ts'
import { typedValue } from '@penstock/core/sparkplug/values.ts'
import type { TagDeclaration } from '../live/live-table.ts'
import { placeOf, tagOfMetric } from './naming.ts'

/** What an NBIRTH says about the node. `delivery` null: a foreign node, without the delivery protocol. */
export interface NodeBirth {
  readonly seq: number
  readonly bdSeq: bigint | null
  readonly hardwareId: string | null
  readonly software: string | null
  /** ledger of the only gateway that it obeys; null: none yet, or it does not say */
  readonly ledger: string | null
  readonly limitsHash: string | null
  readonly delivery: {
    readonly version: number
    readonly epoch: string
    readonly session: number
    readonly end: Record<DeliveryClass, number>
  } | null
}

/** A metric that a birth gave a meaning to; DATA names it by alias (or by name). */
export interface TagSource extends TagDeclaration {
  readonly sparkplugType: SparkplugType
  readonly device: string | null
  readonly retired: boolean
  /** an earlier type of a tag: only for readings that are still on their way */
  readonly retyped: boolean
}

export interface BirthMetric {
  readonly source: TagSource
  readonly metric: Metric
}

const longestText = 256

/** null when the delivery metrics are there but make no sense. Never throws. */
export function readNodeBirth(payload: Payload): NodeBirth | null {
  const byName = new Map<string, Metric>()
  for (const metric of payload.metrics) if (metric.name !== undefined) byName.set(metric.name, metric)
  const bdSeq = metricValue(byName.get(metricNames.bdSeq), 'Int64')
  const version = metricValue(byName.get(metricNames.version), 'Int32')
  const base = {
    seq: payload.seq ?? 0,
    bdSeq: typeof bdSeq === 'bigint' ? bdSeq : null,
    hardwareId: textOf(byName.get(metricNames.hardwareId)),
    software: textOf(byName.get(metricNames.software)),
    ledger: textOf(byName.get(metricNames.ledger)),
    limitsHash: textOf(byName.get(metricNames.alarmLimitsHash)),
  }
  if (version === null) return { ...base, delivery: null }
  const epoch = textOf(byName.get(metricNames.epoch))
  const session = countOf(byName.get(metricNames.session))
  if (typeof version !== 'number' || epoch === null || session === null) return null
  const end = { alarm: 0, total: 0, raw: 0 }
  for (const name of deliveryClasses) end[name] = countOf(byName.get(endMetric(name))) ?? 0
  return { ...base, delivery: { version, epoch, session, end } }
}

export const isSupported = (version: number): boolean => version === deliveryVersion

/**
 * The tags that a birth lists: everything but `bdSeq`, `Node Control/*`, `Delivery/*`, `Properties/*` and what cannot be a tag.
 * In the order of their aliases, which is that of the profile; the payload has them in order of time.
 */
export function readTags(edgeId: string, device: string | null, payload: Payload): BirthMetric[] {
  const found: BirthMetric[] = []
  for (const metric of payload.metrics) {
    const { name } = metric
    if (name === undefined || name === '' || name.length > longestText || isControl(name)) continue
    const type = sparkplugType(metric.datatype)
    const dataType = type && dataTypeOf(type)
    if (!type || !dataType) continue
    found.push({ source: tagSource(edgeId, device, name, type, dataType, metric), metric })
  }
  return found.sort((a, b) => (a.metric.alias ?? 0) - (b.metric.alias ?? 0))
}

function tagSource(
  edgeId: string,
  device: string | null,
  name: string,
  sparkplugType: SparkplugType,
  type: DataType,
  metric: Metric,
): TagSource {
  const {
    site,
    class: said,
    unit,
    scanMs,
    deadband,
    heartbeatMs,
    resolution,
    modulus,
    retired,
  } = readProperties(metric.properties)
  const { tag, retyped } = tagOfMetric(placeOf(edgeId, device, site), name)
  return {
    tag,
    type,
    sparkplugType,
    class: said ?? 'raw',
    unit,
    scanMs,
    deadband,
    heartbeatMs,
    resolution,
    modulus,
    device,
    retired,
    retyped,
  }
}

/** Names that are never tags, and never have an alias. */
export const isControl = (name: string): boolean =>
  name === metricNames.bdSeq ||
  name.startsWith('Node Control/') ||
  name.startsWith('Delivery/') ||
  name.startsWith('Properties/')

/** A metric as a reading of its tag. What is no value of the declared type is bad, with the reason. */
export function toReading(source: TagSource, metric: Metric, otherwiseAt: number): Reading {
  const sourceTimestamp = metric.timestamp ?? otherwiseAt
  const { tag, type } = source
  const { quality, reason } = readQuality(metric)
  if (quality === 'bad') return { tag, type, value: null, quality, reason, sourceTimestamp }
  const value = typedValue(metric, source.sparkplugType)
  if (value === undefined || value === null || typeof value === 'object') {
    return { tag, type, value: null, quality: 'bad', reason: 'protocol', sourceTimestamp }
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    return { tag, type, value: null, quality: 'bad', reason: 'not-a-number', sourceTimestamp }
  }
  return { tag, type, value, quality, reason, sourceTimestamp }
}

/** A text of at most 256 characters that is not empty. */
export function textOf(metric: Metric | undefined): string | null {
  const value = metricValue(metric, 'String')
  return typeof value === 'string' && value !== '' && value.length <= longestText ? value : null
}

/** A whole number from 0 to 2^53 − 1. */
export function countOf(metric: Metric | undefined): number | null {
  const value = metricValue(metric, 'Int64')
  return typeof value === 'bigint' && value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null
}

function metricValue(metric: Metric | undefined, type: SparkplugType): Value | null {
  if (!metric) return null
  const value = typedValue(metric, type)
  return value === undefined || typeof value === 'object' ? null : value
}
