import type { BatchReading } from '@penstock/core/delivery/batch.ts'
import { metricNames } from '@penstock/core/delivery/wire.ts'
import { type DeviceDescription, sparkplugDeviceId, type TagDescription } from '@penstock/core/description.ts'
import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { DeliveryClass, Reading } from '@penstock/core/reading.ts'
import { encodePayload } from '@penstock/core/sparkplug/codec.ts'
import type { Metric } from '@penstock/core/sparkplug/payload.ts'
import { birthProperties } from '@penstock/core/sparkplug/properties.ts'
import { birthMetric } from '@penstock/core/sparkplug/values.ts'
import { tagOf } from '@penstock/core/tag.ts'
import { kindOf, parseKind } from './record.ts'

/** A DBIRTH above this is refused by `--check`: brokers and foreign hosts bound the packet. */
export const largestBirthBytes = 256 * 1024

/** A metric of this session: its alias, and what went out of it last. */
export interface BornTag {
  /** `site/device/tag`, or the metric name for what the edge itself says */
  readonly tag: string
  readonly description: TagDescription
  /** undefined: sent by name (metrics of the node) */
  readonly alias: number | undefined
  /** dictionary entry of the outbox that this metric stands for */
  readonly kind: string
  readonly retired: boolean
  /** newest reading of this run, whether sent or not */
  newest: BatchReading | null
  /** newest that went out in this session, by whatever message */
  sent: { readonly order: number; readonly sourceTimestamp: number; readonly value: Reading['value'] } | null
}

export interface BornDevice {
  /** Sparkplug device id */
  readonly id: string
  readonly site: string
  readonly tags: readonly BornTag[]
  /** no longer in the site file; here only for its unsent readings */
  readonly retired: boolean
  alive: boolean
  /** ticker time of its last live copy */
  liveAt: number
  /** it has readings that did not go out yet */
  dirty: boolean
}

export interface BirthPlan {
  readonly devices: ReadonlyMap<string, BornDevice>
  readonly byKind: ReadonlyMap<string, BornTag>
}

/**
 * Everything that a session may speak of: the site file and what unsent batches of earlier runs still need. A tag that the site
 * file no longer has is `retired`; one whose type, unit, resolution or modulus changed is retired under `name~r1`, `name~r2`.
 */
export function planBirths(
  configured: readonly DeviceDescription[],
  stored: ReadonlyMap<string, DeliveryClass>,
): BirthPlan {
  const devices = new Map<string, { site: string; tags: BornTag[]; retired: boolean }>()
  const byKind = new Map<string, BornTag>()
  let alias = 1
  const add = (device: string, site: string, tag: string, description: TagDescription, retired: boolean) => {
    const { type, unit, resolution, modulus } = description
    const kind = kindOf({ tag, type, unit, resolution, modulus })
    const born = { tag, description, alias: alias++, kind, retired, newest: null, sent: null }
    let entry = devices.get(device)
    if (!entry) {
      entry = { site, tags: [], retired }
      devices.set(device, entry)
    }
    entry.tags.push(born)
    byKind.set(kind, born)
  }
  for (const { site, device, tags } of configured) {
    const id = sparkplugDeviceId(site, device)
    for (const tag of tags) add(id, site, tagOf(site, device, tag.name), tag, false)
  }
  for (const [kind, deliveryClass] of stored) {
    const tag = byKind.has(kind) ? null : parseKind(kind)
    if (!tag) continue
    const [site, device, name, more] = tag.tag.split('/')
    if (!site || !device || !name || more !== undefined) continue
    const id = sparkplugDeviceId(site, device)
    const { type, unit, resolution, modulus } = tag
    const names = new Set(devices.get(id)?.tags.map(other => other.description.name))
    const description: TagDescription = {
      name: freeName(name, names),
      type,
      class: deliveryClass,
      unit,
      scanMs: 0,
      deadband: null,
      heartbeatMs: 0,
      resolution,
      modulus,
      min: null,
      max: null,
    }
    add(id, site, tag.tag, description, true)
    // `add` made the kind from the stored fields; an entry of another program version may be spelled differently
    const born = devices.get(id)?.tags.at(-1)
    if (born) byKind.set(kind, born)
  }
  return {
    devices: new Map(
      [...devices].map(([id, { site, tags, retired }]) => [
        id,
        { id, site, tags, retired, alive: false, liveAt: Number.NEGATIVE_INFINITY, dirty: false },
      ]),
    ),
    byKind,
  }
}

function freeName(name: string, taken: ReadonlySet<string>): string {
  if (!taken.has(name)) return name
  let version = 1
  while (taken.has(`${name}~r${version}`)) version++
  return `${name}~r${version}`
}

/** Metrics of a DBIRTH; `current` gives the value of a tag, undefined for one without (it is born bad, with a reason). */
export function dbirthMetrics(
  device: BornDevice,
  current: (tag: BornTag) => Reading | undefined,
  diagnosis: DeviceDiagnosis | null,
  now: number,
): Metric[] {
  const metrics = device.tags.map(tag => {
    const reading = current(tag)
    const quality = reading?.quality ?? 'bad'
    const reason = reading ? reading.reason : tag.retired ? 'retired' : 'not-read'
    const { type, name } = tag.description
    return birthMetric(type, quality === 'bad' ? null : (reading?.value ?? null), {
      name,
      ...(tag.alias === undefined ? {} : { alias: tag.alias }),
      timestamp: Math.max(0, Math.round(reading?.sourceTimestamp ?? now)),
      properties: birthProperties(
        { site: device.site, tag: tag.description, retired: tag.retired },
        { quality, reason },
      ),
    })
  })
  const text = diagnosis === null ? null : JSON.stringify(diagnosis)
  metrics.push(birthMetric('String', text, { name: metricNames.diagnostics, timestamp: now }))
  return metrics
}

/** Size of the DBIRTH of a device as the site file describes it, with values of usual length. */
export function dbirthBytes(description: DeviceDescription, now: number): number {
  const [device] = planBirths([description], new Map()).devices.values()
  if (!device) return 0
  const metrics = dbirthMetrics(
    device,
    ({ tag, description: { type } }) => ({
      tag,
      type,
      value: type === 'Boolean' ? true : type === 'String' ? 'x'.repeat(32) : type.endsWith('64') ? 2n ** 62n : 123_456,
      quality: 'good',
      reason: null,
      sourceTimestamp: now,
    }),
    null,
    now,
  )
  return encodePayload({ timestamp: now, seq: 255, metrics }).length
}
