import { sparkplugDeviceId } from '@penstock/core/description.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { describeDevice } from './acquisition/devices.ts'
import type { SiteFile } from './config/site-file.ts'
import type { DriverDevice } from './drivers/driver.ts'
import { plan } from './drivers/modbus/plan.ts'
import { pointsOf } from './drivers/modbus/points.ts'
import { dbirthBytes, largestBirthBytes } from './uplink/births.ts'

/** What a site file means in numbers. */
export interface SiteSummary {
  readonly devices: number
  readonly tags: number
  readonly channels: readonly { readonly id: string; readonly devices: number; readonly requestsPerSecond: number }[]
  /** to the disk of the outbox: when nothing changes, and when every value changes at every scan */
  readonly bytesPerDay: { readonly least: number; readonly most: number }
  readonly births: readonly { readonly device: string; readonly tags: number; readonly bytes: number }[]
}

/** Measured on the record codec: a reading in a batch, and a batch without readings with its place in the log. */
const readingBytes = 14
const batchBytes = 40
const dayMs = 86_400_000
/** State registers, and one block of rows. */
const loggerRequests = 2

/** Plans the requests and sizes of a site. @throws PenstockError `config-invalid` with all problems */
export function summarise(site: SiteFile): SiteSummary {
  const problems: string[] = []
  const requests = new Map(site.channels.map(channel => [channel.id, { devices: 0, perSecond: 0 }]))
  const births: SiteSummary['births'][number][] = []
  const bytes = { least: 0, most: 0 }
  for (const config of site.devices) {
    const id = sparkplugDeviceId(config.site, config.id)
    try {
      const { device, description } = describeDevice(site, config)
      const channel = requests.get(config.channel)
      if (channel) {
        channel.devices++
        channel.perSecond += requestsPerSecond(device)
      }
      const size = dbirthBytes(description, 0)
      births.push({ device: id, tags: description.tags.length, bytes: size })
      if (size > largestBirthBytes) {
        problems.push(
          `${id}: its birth takes ${kibibytes(size)}, more than ${kibibytes(largestBirthBytes)}; split the device: make a second one of the same channel and unit id, with another id, and exclude half of the tags in each`,
        )
      }
      for (const tag of description.tags) bytes.least += (dayMs / tag.heartbeatMs) * (readingBytes + batchBytes)
      for (const [periodMs, tags] of scansOf(device)) {
        bytes.most += (dayMs / periodMs) * (tags.length * readingBytes + batchBytes)
      }
    } catch (error) {
      if (!(error instanceof PenstockError)) throw error
      problems.push(`${id}: ${error.message}`)
    }
  }
  if (problems.length > 0) throw new PenstockError('config-invalid', { text: problems.join('\n') })
  return {
    devices: births.length,
    tags: births.reduce((sum, birth) => sum + birth.tags, 0),
    channels: [...requests].map(([id, { devices, perSecond }]) => ({ id, devices, requestsPerSecond: perSecond })),
    bytesPerDay: { least: Math.min(bytes.least, bytes.most), most: bytes.most },
    births,
  }
}

type Scans = Map<number, (readonly [number, DriverDevice['tags'][number]])[]>

function scansOf(device: DriverDevice): Scans {
  const scans: Scans = new Map()
  for (const entry of device.tags.entries()) {
    const periodMs = entry[1].scanMs
    scans.set(periodMs, [...(scans.get(periodMs) ?? []), entry])
  }
  return scans
}

function requestsPerSecond(device: DriverDevice): number {
  if (device.profile.driver === 'modbus-logger') {
    return (loggerRequests * 1000) / Math.min(...device.tags.map(tag => tag.scanMs))
  }
  let perSecond = 0
  for (const [periodMs, tags] of scansOf(device)) {
    const items = pointsOf(device, tags, () => ({ before: null })).flatMap(point => point.items)
    const { reads, refused } = plan(items, device.profile.modbus)
    const [first] = refused
    if (first) throw new PenstockError('config-invalid', { text: first.why })
    perSecond += (reads.length * 1000) / periodMs
  }
  return perSecond
}

const kibibytes = (bytes: number): string => `${Math.ceil(bytes / 1024)} KiB`
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`

/** The summary as lines for people. */
export function formatSummary(site: SiteFile, summary: SiteSummary): string {
  const { devices, tags, channels, bytesPerDay, births } = summary
  const largest = births.toSorted((a, b) => b.bytes - a.bytes).slice(0, 5)
  const days = bytesPerDay.most > 0 ? site.outbox.maxBytes / bytesPerDay.most : 0
  return [
    `edge ${site.edge.group}/${site.edge.id}: ${devices} devices, ${tags} tags`,
    ...channels.map(
      ({ id, devices, requestsPerSecond }) =>
        `channel ${id}: ${devices} devices, ${requestsPerSecond.toFixed(2)} requests a second`,
    ),
    `to the disk: ${mebibytes(bytesPerDay.least)} to ${mebibytes(bytesPerDay.most)} a day (nothing changes, everything changes)`,
    `the outbox of ${mebibytes(site.outbox.maxBytes)} holds at least ${days.toFixed(1)} days without a gateway`,
    ...largest.map(({ device, tags, bytes }) => `birth of ${device}: ${tags} tags, ${bytes} bytes`),
  ].join('\n')
}
