import type { DriverDeps } from '../driver.ts'
import { LoggerJob } from './logger.ts'
import { pointsOf } from './points.ts'
import type { Wire } from './request.ts'
import { Scan, type ScanDeps } from './scan.ts'
import type { TotalMemory } from './total-memory.ts'
import type { Unit } from './unit.ts'

/** Gives a unit its jobs: one scan for each interval, one for totals out of turn, or the reading of a data logger. */
export function openJobs(unit: Unit, wire: Wire, deps: DriverDeps): void {
  const { device } = unit
  const scanDeps: ScanDeps = { clock: deps.clock, now: () => deps.ticker.now(), sink: deps.sink }
  if (device.profile.driver === 'modbus-logger') {
    const periodMs = Math.min(...device.tags.map(tag => tag.scanMs))
    const job = new LoggerJob(unit, wire, { ...scanDeps, log: deps.log, logbook: deps.logbook })
    unit.periodic.push({ periodMs, job })
    return
  }
  const memories = new Map<number, TotalMemory>()
  const memoryOf = (tag: number): TotalMemory => {
    const memory = memories.get(tag) ?? { before: null }
    memories.set(tag, memory)
    return memory
  }
  const tags = [...device.tags.entries()]
  const periods = [...new Set(device.tags.map(tag => tag.scanMs))].sort((a, b) => a - b)
  for (const periodMs of periods) {
    const due = tags.filter(([, tag]) => tag.scanMs === periodMs)
    const scan = new Scan(unit, wire, pointsOf(device, due, memoryOf), scanDeps)
    for (const { tag, why } of scan.refused) {
      deps.log.error({ device: device.id, tag: device.tags[tag]?.name, why }, 'tag cannot be read')
    }
    unit.periodic.push({ periodMs, job: scan })
  }
  const totals = tags.filter(([, tag]) => tag.profile.total !== undefined || tag.profile.class === 'total')
  if (totals.length > 0) unit.onTheHour = new Scan(unit, wire, pointsOf(device, totals, memoryOf), scanDeps)
}
