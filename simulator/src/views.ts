import type { CitySite, Served } from './city-site.ts'
import type { MapLine } from './devices/instrument.ts'
import type { SitePlant } from './plant/site-plant.ts'

export interface DeviceInfo {
  readonly id: string
  readonly unitId: number
  readonly kind: string
  readonly map: readonly MapLine[]
  readonly values: Readonly<Record<string, number | boolean | string>>
  /** successful reads of its registers */
  readonly reads: number
}

export interface SiteInfo {
  readonly id: string
  readonly name: string
  readonly port: number
  readonly requests: number
  readonly connections: number
  readonly devices: readonly DeviceInfo[]
}

/** What a meter really counted and what was read of it; counts of `resolution` m³ as decimal text. */
export interface MeterTruth {
  readonly site: string
  readonly device: string
  readonly resolution: string
  readonly modulus: string
  /** never wraps */
  readonly counted: string
  /** as the registers show it */
  readonly shown: string
  readonly first: Served | null
  readonly last: Served | null
  /** how often the whole total was read */
  readonly totalReads: number
}

export interface PlantState {
  readonly tanks: Readonly<
    Record<string, { readonly level: number; readonly volumeM3: number; readonly overflowM3: number }>
  >
  readonly flows: Readonly<
    Record<string, { readonly passedM3: number; readonly running: boolean; readonly mode: string }>
  >
  readonly rooms: Readonly<
    Record<
      string,
      {
        readonly mgPerM3: number
        readonly storedKg: number
        readonly leakMgPerSecond: number
        readonly fanRunning: boolean
      }
    >
  >
}

export function siteInfo({ site, port, requests, connections, stations }: CitySite): SiteInfo {
  const devices = [...stations.values()].map(({ id, unitId, reads, instrument }) => ({
    id,
    unitId,
    kind: instrument.kind,
    map: instrument.map,
    values: instrument.values(),
    reads,
  }))
  return { id: site.id, name: site.name, port, requests, connections, devices }
}

export function truthOf({ site, stations }: CitySite): MeterTruth[] {
  return [...stations.values()].flatMap(({ id, instrument: { total }, first, last, totalReads }) => {
    if (!total) return []
    const { resolution, modulus, counted, shown } = total
    return [
      {
        site: site.id,
        device: id,
        resolution,
        modulus: modulus.toString(),
        counted: counted.toString(),
        shown: shown.toString(),
        first,
        last,
        totalReads,
      },
    ]
  })
}

const collect = <T, R>(items: ReadonlyMap<string, T>, show: (item: T) => R): Record<string, R> =>
  Object.fromEntries([...items].map(([id, item]) => [id, show(item)]))

export const plantState = ({ tanks, flows, rooms }: SitePlant): PlantState => ({
  tanks: collect(tanks, ({ level, volumeMicro, overflowMicro }) => ({
    level,
    volumeM3: volumeMicro / 1e6,
    overflowM3: overflowMicro / 1e6,
  })),
  flows: collect(flows, ({ passedMicro, running, mode }) => ({ passedM3: passedMicro / 1e6, running, mode })),
  rooms: collect(rooms, ({ mgPerM3, storedMg, leakMgPerSecond, fanRunning }) => ({
    mgPerM3,
    storedKg: storedMg / 1e6,
    leakMgPerSecond,
    fanRunning,
  })),
})
