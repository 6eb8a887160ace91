import type { TagDescription } from '../description.ts'
import { type DataType, type DeliveryClass, deliveryClasses, type Quality, type Reason, reasons } from '../reading.ts'
import { datatypeNumbers, type SparkplugType } from './datatypes.ts'
import type { Metric, PropertySet, PropertyValue } from './payload.ts'
import { typedValue, wireOf } from './values.ts'

/** The values that Sparkplug has for the property `Quality` (tck-id-payloads-propertyset-quality-value-value). */
const bad = 0
const good = 192
const stale = 500

const uncertainReasons: readonly Reason[] = ['clock', 'inhibit', 'device-warning', 'frozen', 'foreign']

export interface QualityAndReason {
  readonly quality: Quality
  /** null exactly when the quality is good */
  readonly reason: Reason | null
}

const isGood: QualityAndReason = { quality: 'good', reason: null }

/** What a birth says of a tag beside its value. */
export interface BirthProperties {
  readonly site: string
  readonly tag: TagDescription
  /** no longer configured; listed because older readings are on their way */
  readonly retired: boolean
}

/** Properties of a metric in DBIRTH. null members are left out. */
export function birthProperties({ site, tag, retired }: BirthProperties, quality: QualityAndReason): PropertySet {
  const set = new Map<string, PropertyValue>([
    ['site', property('String', site)],
    ['class', property('String', tag.class)],
    ['scanMs', property('Int64', BigInt(Math.round(tag.scanMs)))],
    ['heartbeatMs', property('Int64', BigInt(Math.round(tag.heartbeatMs)))],
  ])
  if (tag.unit !== null) set.set('unit', property('String', tag.unit))
  if (tag.deadband !== null) set.set('deadband', property('Double', tag.deadband))
  if (tag.resolution !== null) set.set('resolution', property('String', tag.resolution))
  if (tag.modulus !== null) set.set('modulus', property('String', tag.modulus))
  if (tag.min !== null) set.set('min', property('Double', tag.min))
  if (tag.max !== null) set.set('max', property('Double', tag.max))
  if (retired) set.set('retired', property('Boolean', true))
  for (const [key, value] of qualityProperties(quality) ?? []) set.set(key, value)
  return set
}

/** What a DBIRTH of anybody says of a tag; what a foreign node does not say is null. */
export interface ReadProperties {
  readonly site: string | null
  readonly class: DeliveryClass | null
  readonly unit: string | null
  readonly scanMs: number | null
  readonly deadband: number | null
  readonly heartbeatMs: number | null
  readonly resolution: string | null
  readonly modulus: string | null
  readonly min: number | null
  readonly max: number | null
  readonly retired: boolean
}

/** Reads `birthProperties` back. Also takes the units of foreign nodes: `engUnit` as Ignition sends it. */
export function readProperties(set: PropertySet | undefined): ReadProperties {
  const name = text(set, 'class')
  return {
    site: text(set, 'site'),
    class: deliveryClasses.find(known => known === name) ?? null,
    unit: text(set, 'unit') ?? text(set, 'engUnit'),
    scanMs: number(set, 'scanMs'),
    deadband: number(set, 'deadband'),
    heartbeatMs: number(set, 'heartbeatMs'),
    resolution: decimal(set, 'resolution'),
    modulus: decimal(set, 'modulus'),
    min: number(set, 'min'),
    max: number(set, 'max'),
    retired: typed(set, 'retired', 'Boolean') === true,
  }
}

/** The description that `birthProperties` was made of, or null if the properties are not those of one of our edges. */
export function readDescription(name: string, type: DataType, set: PropertySet | undefined): TagDescription | null {
  const read = readProperties(set)
  const { class: deliveryClass, scanMs, heartbeatMs } = read
  if (deliveryClass === null || scanMs === null || heartbeatMs === null) return null
  const { unit, deadband, resolution, modulus, min, max } = read
  return { name, type, class: deliveryClass, unit, scanMs, deadband, heartbeatMs, resolution, modulus, min, max }
}

const qualitySets = new Map<Reason, PropertySet>(
  reasons.map(reason => [
    reason,
    new Map([
      ['Quality', property('Int32', uncertainReasons.includes(reason) ? stale : bad)],
      ['reason', property('String', reason)],
    ]),
  ]),
)

/** Nothing for good, stale and the reason for uncertain, bad and the reason for bad. A foreign reader never sees good for what is not. */
export function qualityProperties({ quality, reason }: QualityAndReason): PropertySet | undefined {
  if (quality === 'good') return undefined
  const known = reason === null ? undefined : qualitySets.get(reason)
  if (!known || uncertainReasons.includes(reason ?? 'foreign') !== (quality === 'uncertain')) {
    throw new TypeError(`reason ${reason} of quality ${quality}`)
  }
  return known
}

/**
 * Quality of a metric of anybody. Sparkplug has 0, 192 and 500; beside them the ranges of OPC DA are understood
 * (64–127 uncertain, 192–255 good), everything else is bad: never good by default when a node says something unknown.
 * A metric without value is always bad, without Quality as `not-read`; a foreign bad one is `device-fault`.
 */
export function readQuality(metric: Metric): QualityAndReason {
  const empty = metric.isNull === true || metric.wire === undefined
  const set = metric.properties
  if (set === undefined) return empty ? { quality: 'bad', reason: 'not-read' } : isGood
  const said = text(set, 'reason')
  const reason = reasons.find(known => known === said) ?? null
  const uncertain = reason !== null && uncertainReasons.includes(reason)
  const code = set.has('Quality') ? (number(set, 'Quality') ?? bad) : null
  if (empty)
    return {
      quality: 'bad',
      reason: reason !== null && !uncertain ? reason : code === null ? 'not-read' : 'device-fault',
    }
  if (code === null || (code >= good && code <= 255)) return isGood
  if (code === stale || (code >= 64 && code <= 127)) {
    return { quality: 'uncertain', reason: uncertain ? reason : 'foreign' }
  }
  return { quality: 'bad', reason: reason !== null && !uncertain ? reason : 'device-fault' }
}

function property(type: SparkplugType, value: string | number | bigint | boolean): PropertyValue {
  const wire = wireOf(type)
  if (wire === 'bytes' || wire === 'dataset' || wire === 'template') throw new TypeError(type)
  return { type: datatypeNumbers[type], wire, value }
}

function typed(set: PropertySet | undefined, key: string, type: SparkplugType): unknown {
  const found = set?.get(key)
  const { isNull, wire, value } = found ?? {}
  if (wire === undefined || wire === 'set' || wire === 'list' || value === undefined) return null
  if (value instanceof Map || Array.isArray(value)) return null
  return typedValue({ isNull, wire, value: value as string }, type) ?? null
}

function text(set: PropertySet | undefined, key: string): string | null {
  const value = typed(set, key, 'String')
  return typeof value === 'string' ? value : null
}

function decimal(set: PropertySet | undefined, key: string): string | null {
  const value = text(set, key)
  return value !== null && /^\d{1,30}(\.\d{1,30})?$/.test(value) ? value : null
}

/** A finite number of whatever numeric type; 32-bit integers as signed ones unless declared otherwise. */
function number(set: PropertySet | undefined, key: string): number | null {
  const declared = set?.get(key)?.type
  const value = typed(
    set,
    key,
    declared === datatypeNumbers.Int32 || declared === datatypeNumbers.Int16 ? 'Int32' : 'Double',
  )
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}
