import type { Value } from '@penstock/core/reading.ts'
import { parseTag } from '@penstock/core/tag.ts'
import type { StoredReading } from '../../historian/historian.ts'
import type { LiveTag } from '../../live/table.ts'
import type { Names } from '../../registry/names.ts'
import type { TagBody } from '../contract/tags.ts'

/** 64-bit integers as decimal text: JSON numbers would lose digits. */
export const jsonValue = (value: Value): boolean | number | string =>
  typeof value === 'bigint' ? String(value) : value

const nullableValue = (value: Value | null) => (value === null ? null : jsonValue(value))

export function tagBody(live: LiveTag, names: Names, now: number): TagBody {
  const { site, device, name } = parseTag(live.tag)
  const known = names.device(site, device)
  return {
    tag: live.tag,
    site,
    device,
    name,
    siteName: names.site(site)?.name ?? null,
    deviceName: known?.name ?? null,
    area: known?.area ?? null,
    edge: live.edge,
    type: live.type,
    class: live.class,
    unit: live.unit,
    value: nullableValue(live.value),
    quality: live.quality,
    reason: live.reason,
    sourceTimestamp: live.sourceTimestamp,
    receivedAt: live.receivedAt,
    ageMs: Math.max(0, now - live.receivedAt),
    lastGood: live.lastGood && { ...live.lastGood, value: jsonValue(live.lastGood.value) },
    scanMs: live.scanMs,
    deadband: live.deadband,
    heartbeatMs: live.heartbeatMs,
    resolution: live.resolution,
    modulus: live.modulus,
  }
}

export const storedBody = ({ sourceTimestamp, value, quality, reason }: StoredReading) => ({
  sourceTimestamp,
  value: nullableValue(value),
  quality,
  reason,
})
