import type { DeviceDescription, TagDescription } from '@penstock/core/description.ts'
import { sparkplugDeviceId } from '@penstock/core/description.ts'
import type { ProfileTag } from '@penstock/core/profile/schema.ts'
import type { DataType } from '@penstock/core/reading.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { DeviceConfig, SiteFile } from '../config/site-file.ts'
import type { DriverDevice } from '../drivers/driver.ts'

/** No wire is polled more often than this, however fast the clock of a demonstration runs. */
export const leastPollMs = 50

/** Machine time between two reads of a scan class, which the site file gives in calendar time. */
export const pollMs = (scanMs: number, timeFactor: number): number =>
  timeFactor === 1 ? scanMs : Math.min(scanMs, Math.max(leastPollMs, Math.round(scanMs / timeFactor)))

/**
 * A device of a site file, for its driver and for the birth. Periods are machine time for the driver, calendar time in the birth;
 * `timeFactor` is 1 but for the clocks of demonstrations.
 */
export function describeDevice(
  site: SiteFile,
  config: DeviceConfig,
  timeFactor = 1,
): { device: DriverDevice; description: DeviceDescription } {
  const profile = site.profileOf.get(config.profile)
  if (!profile) throw new PenstockError('config-invalid', { text: `there is no profile "${config.profile}"` })
  const used = profile.tags.filter(tag => !config.tags[tag.name]?.exclude)
  const scanOf = (tag: ProfileTag): number => {
    const name = config.scan[tag.name] ?? tag.scan
    const ms = site.scanClasses[name]
    if (ms === undefined) throw new PenstockError('config-invalid', { text: `there is no scan class "${name}"` })
    return ms
  }
  const scanMs = new Map(used.map(tag => [tag.name, scanOf(tag)]))
  // a condition is read with what it rules: a gas value must not stand as good while the state says calibration
  for (const { when, tags } of profile.rules) {
    const own = scanMs.get(when.tag)
    if (own === undefined) continue
    scanMs.set(when.tag, Math.min(own, ...tags.map(tag => scanMs.get(tag) ?? own)))
  }
  const periodOf = (tag: ProfileTag): number => scanMs.get(tag.name) ?? scanOf(tag)
  const device: DriverDevice = {
    id: sparkplugDeviceId(config.site, config.id),
    config,
    profile,
    tags: used.map(tag => ({ name: tag.name, profile: tag, scanMs: pollMs(periodOf(tag), timeFactor) })),
  }
  return {
    device,
    description: {
      site: config.site,
      device: config.id,
      area: config.area,
      profile: config.profile,
      tags: used.map(tag => describeTag(tag, periodOf(tag), config.tags[tag.name])),
    },
  }
}

function describeTag(tag: ProfileTag, scanMs: number, own: DeviceConfig['tags'][string] | undefined): TagDescription {
  const isTotal = tag.class === 'total'
  const deadband = own?.deadband === undefined ? (tag.deadband ?? null) : own.deadband
  return {
    name: tag.name,
    type: dataTypeOf(tag),
    class: tag.class,
    unit: tag.unit ?? null,
    scanMs,
    // every count of a total matters
    deadband: isTotal ? null : deadband,
    heartbeatMs: own?.heartbeatMs ?? tag.heartbeatMs,
    resolution: tag.resolution ?? null,
    modulus: tag.modulus ?? null,
    min: tag.min ?? null,
    max: tag.max ?? null,
  }
}

const plainTypes = {
  bool: 'Boolean',
  u16: 'UInt32',
  i16: 'Int32',
  u32: 'UInt32',
  i32: 'Int32',
  u64: 'UInt64',
  i64: 'Int64',
  f32: 'Float',
  f64: 'Double',
  string: 'String',
} as const satisfies Record<NonNullable<ProfileTag['type']>, DataType>

/** The type on the wire. What is scaled is a Double, so that edge and gateway compare the same number with a limit. */
export function dataTypeOf(tag: ProfileTag): DataType {
  if (tag.total || tag.resolution !== undefined) return 'Int64'
  if (tag.bit !== undefined) return 'Boolean'
  const type = tag.type ?? 'u16'
  if (tag.mask !== undefined) return tag.scale ? 'Double' : 'UInt32'
  return type !== 'bool' && type !== 'string' && (tag.scale || tag.unitFrom) ? 'Double' : plainTypes[type]
}
