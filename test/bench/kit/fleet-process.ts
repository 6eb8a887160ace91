import { join } from 'node:path'
import { type DeviceDescription, sparkplugDeviceId, type TagDescription } from '@penstock/core/description.ts'
import type { Reading } from '@penstock/core/reading.ts'
import { systemClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { mqttConnector } from '@penstock/core/runtime/mqtt-link.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import { type Boot, openBoot } from '@penstock/edge/acquisition/boot.ts'
import type { UplinkSource } from '@penstock/edge/uplink/source.ts'
import { Uplink } from '@penstock/edge/uplink/uplink.ts'
import { edgeName, loadGroup } from './raw-edges.ts'
import { serve } from './role.ts'

/** Many edges from their outbox to the broker in one process: everything but the drivers is as in an edge. */

export interface Fleet {
  readonly port: number
  readonly folder: string
  readonly edges: number
  readonly devices: number
  readonly tagsPerDevice: number
}

const scanMs = 1_000
const uplinks: Uplink[] = []
let marks: { births: number; confirmations: number }[] = []

async function open(fleet: Fleet): Promise<void> {
  const boot = openBoot(systemTicker)
  for (let index = 0; index < fleet.edges; index++) {
    const name = edgeName(index)
    const uplink = await Uplink.open({
      ...{ group: loadGroup, edge: name, host: 'bench', username: null, servers: 1, ledger: null, software: 'bench' },
      ...{ files: nodeFiles, folder: join(fleet.folder, name), hardwareId: `hardware-${name}`, trust: 'trusted' },
      ...{ clock: systemClock, ticker: systemTicker, log: silentLogger, random: Math.random },
      boot,
      limits: { maxBytes: 64 * 2 ** 20, segmentBytes: 2 ** 20, syncMs: 250, maxAgeMs: 0 },
      connect: mqttConnector({
        ...{ urls: [`mqtt://127.0.0.1:${fleet.port}`], username: null, password: null, ca: null, protocol: 'auto' },
        ...{ keepaliveS: 15, log: silentLogger, ticker: systemTicker },
      }),
    })
    const source = sourceOf(`site-${name}`, fleet)
    uplink.start(source)
    report(uplink, source, boot, Math.floor((scanMs * index) / fleet.edges), 0)
    uplinks.push(uplink)
  }
}

/** One device a scan, so that each edge sends one batch a second. */
function report(uplink: Uplink, source: UplinkSource, boot: Boot, afterMs: number, turn: number): void {
  systemTicker.after(afterMs, () => {
    const device = source.devices[turn % source.devices.length]
    if (device) {
      const id = sparkplugDeviceId(device.site, device.device)
      const monotonicMs = boot.monotonicMs()
      const readings = source.current(id).map(reading => ({ ...reading, monotonicMs }))
      uplink.report({ class: 'raw', device: id, bootId: boot.id, readings })
    }
    report(uplink, source, boot, scanMs, turn + 1)
  })
}

function sourceOf(site: string, { devices, tagsPerDevice }: Fleet): UplinkSource {
  const limits = { deadband: null, resolution: null, modulus: null, min: null, max: null }
  const tags = Array.from({ length: tagsPerDevice }, (_, index): TagDescription => {
    return { name: `t${index}`, type: 'Float', class: 'raw', unit: 'm3/h', scanMs, heartbeatMs: 60_000, ...limits }
  })
  const described = Array.from({ length: devices }, (_, index): DeviceDescription => {
    return { site, device: `d${index}`, area: null, profile: 'bench', tags }
  })
  return {
    devices: described,
    current: device => {
      const now = systemClock.now()
      const good = { type: 'Float', quality: 'good', reason: null, sourceTimestamp: now } as const
      return tags.map(({ name }, index): Reading => {
        return { tag: `${device.replace(':', '/')}/${name}`, value: Math.fround(index + (now % 1e5) / 100), ...good }
      })
    },
    isOnline: () => true,
    diagnosis: () => ({
      ...{ address: 'bench', state: 'ok', since: 0, lastRequest: null, lastAnswer: null, lastError: null },
      ...{ nextTryAt: null, counters: {} },
    }),
    setAlarmLimits: () => {},
  }
}

/** How many edges were born and confirmed since `mark`. */
function confirmed(): number {
  return uplinks.filter((uplink, index) => {
    const { births, confirmations } = uplink.status().counters
    const before = marks[index] ?? { births: 0, confirmations: 0 }
    return births > before.births && confirmations > before.confirmations
  }).length
}

/** From now on only new births and confirmations count. */
function mark(): void {
  marks = uplinks.map(uplink => ({ ...uplink.status().counters }))
}

serve({ open, mark, confirmed })
