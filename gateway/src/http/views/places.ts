import { sparkplugDeviceId } from '@penstock/core/description.ts'
import type { Quality } from '@penstock/core/reading.ts'
import { parseTag } from '@penstock/core/tag.ts'
import type { LiveEdge } from '../../live/table.ts'
import type { AlarmBody } from '../contract/alarms.ts'
import type { EdgeBody, SiteBody } from '../contract/places.ts'
import type { HttpParts } from '../parts.ts'

export function edgeBody(edge: LiveEdge, parts: Pick<HttpParts, 'configuration' | 'edges'>): EdgeBody {
  const [group = '', id = ''] = edge.edge.split('/')
  const { names } = parts.configuration
  const fixed = names.edge(group, id)?.hardwareId ?? null
  return {
    edge: edge.edge,
    group,
    id,
    groupName: names.group(group)?.name ?? null,
    online: edge.online,
    registered: edge.registered,
    hardwareId: edge.hardwareId,
    boundHardwareId: fixed ?? parts.configuration.boundHardware(edge.edge),
    software: edge.software,
    since: edge.since,
    skewMs: edge.skewMs,
    backlog: edge.backlog,
    lagMs: edge.lagMs,
    lostBatches: edge.lostBatches,
    problem: edge.problem,
    devices: edge.devices.map(({ device, site, online }) => ({ device, site, online })),
  }
}

/** Edges that are connected, were seen, or stand in the registry. */
export function edgeBodies(parts: Pick<HttpParts, 'configuration' | 'edges' | 'clock'>): EdgeBody[] {
  const seen = parts.edges.list()
  const known = new Set(seen.map(edge => edge.edge))
  const missing = parts.configuration.names.file.edges
    .map(edge => `${edge.group}/${edge.id}`)
    .filter(edge => !known.has(edge))
  const absent = missing.map(
    (edge): LiveEdge => ({
      edge,
      online: false,
      registered: true,
      hardwareId: null,
      software: null,
      epoch: null,
      since: 0,
      skewMs: null,
      backlog: null,
      lagMs: null,
      lostBatches: 0,
      problem: null,
      devices: [],
    }),
  )
  return [...seen, ...absent].map(edge => edgeBody(edge, parts)).sort((a, b) => (a.edge < b.edge ? -1 : 1))
}

interface DeviceSum {
  edge: string | null
  online: boolean | null
  readonly tags: Record<Quality, number>
}

const noTags = (): Record<Quality, number> => ({ good: 0, uncertain: 0, bad: 0 })

/** Which edge serves a device and whether both are online; null: never seen. */
export function deviceState(parts: Pick<HttpParts, 'edges'>, site: string, device: string) {
  const id = sparkplugDeviceId(site, device)
  for (const edge of parts.edges.list()) {
    const found = edge.devices.find(candidate => candidate.device === id)
    if (found) return { edge, online: edge.online && found.online }
  }
  return null
}

/** Sites of the registry, and those that only edges know of, with their devices. */
export function siteBodies(parts: HttpParts): SiteBody[] {
  const { names } = parts.configuration
  const sums = new Map<string, Map<string, DeviceSum>>()
  const sumOf = (site: string, device: string): DeviceSum => {
    const devices = sums.get(site) ?? new Map<string, DeviceSum>()
    sums.set(site, devices)
    const sum = devices.get(device) ?? { edge: null, online: null, tags: noTags() }
    devices.set(device, sum)
    return sum
  }
  for (const { id } of names.file.sites) if (!sums.has(id)) sums.set(id, new Map())
  for (const { site, id } of names.file.devices) sumOf(site, id)
  for (const live of parts.live.all(parts.clock.now())) {
    const { site, device } = parseTag(live.tag)
    const sum = sumOf(site, device)
    sum.edge = live.edge
    if (live.reason !== 'retired') sum.tags[live.quality]++
  }
  for (const edge of parts.edges.list()) {
    for (const { device, online } of edge.devices) {
      const [site, id] = device.split(':')
      const sum = site !== undefined && id !== undefined ? sums.get(site)?.get(id) : undefined
      if (sum) sum.online = edge.online && online
    }
  }
  const open = new Map<string, number>()
  for (const alarm of parts.alarms.list()) {
    if (alarm.site !== null && isOpen(alarm)) open.set(alarm.site, (open.get(alarm.site) ?? 0) + 1)
  }
  const inhibits = parts.alarms.inhibits()
  return [...sums].map(([id, devices]) => {
    const site = names.site(id)
    const total = noTags()
    for (const { tags } of devices.values())
      for (const quality of ['good', 'uncertain', 'bad'] as const) total[quality] += tags[quality]
    return {
      id,
      name: site?.name ?? null,
      kind: site?.kind ?? null,
      group: site?.group ?? null,
      groupName: (site && names.group(site.group)?.name) ?? null,
      tags: total,
      openAlarms: open.get(id) ?? 0,
      devices: [...devices].map(([device, { edge, online, tags }]) => ({
        id: device,
        name: names.device(id, device)?.name ?? null,
        area: names.device(id, device)?.area ?? null,
        edge,
        online,
        tags,
        inhibitedUntil: inhibits.get(`${id}/${device}`)?.until ?? null,
      })),
    }
  })
}

/** Somebody still has to do something about it. */
export const isOpen = (alarm: Pick<AlarmBody, 'active' | 'acknowledged' | 'state'>): boolean =>
  alarm.active || !alarm.acknowledged || alarm.state.startsWith('LATCH')
