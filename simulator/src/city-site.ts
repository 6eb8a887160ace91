import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { Distortion, type Instrument } from './devices/instrument.ts'
import { logger } from './devices/logger.ts'
import { makeInstrument } from './devices/make.ts'
import { ramp } from './devices/ramp.ts'
import type { Breakable, FaultBoard } from './faults.ts'
import { type ModbusServer, openModbusServer } from './modbus/server.ts'
import { litresOf } from './plant/amounts.ts'
import { yearToDateM3 } from './plant/day-profile.ts'
import { SitePlant } from './plant/site-plant.ts'
import type { MeterRows } from './real-meters.ts'
import type { Site } from './scenario-file.ts'

/** A total as a reader got it. */
export interface Served {
  /** counts of the meter's resolution, decimal text */
  readonly index: string
  /** ms UTC */
  readonly at: number
}

/** An instrument at its unit id, with what was read of it. */
export interface Station extends Breakable {
  readonly id: string
  readonly instrument: Instrument
  reads: number
  totalReads: number
  first: Served | null
  last: Served | null
}

/** One site: its plant, its instruments and, once opened, its port. */
export class CitySite {
  readonly site: Site
  readonly plant: SitePlant
  readonly stations = new Map<string, Station>()
  readonly #clock: Clock
  #server: ModbusServer | undefined

  constructor(site: Site, seed: number, clock: Clock, meters: ReadonlyMap<string, MeterRows>) {
    this.site = site
    this.#clock = clock
    this.plant = new SitePlant(site, seed, startLitres(site, clock.now()))
    for (const device of site.devices) {
      this.#add(device.id, device.unitId, deps => makeInstrument(device, this.plant, deps))
    }
    for (let unit = 1; unit <= (site.ramps?.count ?? 0); unit++) {
      const options = site.ramps
      if (options) this.#add(`r${unit}`, unit, deps => ramp(options, deps))
    }
    let unitId = site.loggers?.firstUnitId ?? 1
    if (meters.size > 248 - unitId) throw tooMany(site.id, meters.size)
    for (const [id, rows] of meters) {
      const resolutionCode = site.loggers?.resolutionCode ?? 0
      this.#add(id, unitId++, deps => logger({ rows, resolutionCode }, deps))
    }
  }

  get port(): number {
    return this.#server?.port ?? 0
  }

  get requests(): number {
    return this.#server?.requests ?? 0
  }

  get connections(): number {
    return this.#server?.connections ?? 0
  }

  /** @throws PenstockError `port-in-use` */
  async listen(host: string, port: number, faults: FaultBoard, ticker: Ticker): Promise<void> {
    const units = new Map([...this.stations.values()].map(({ unitId, instrument }) => [unitId, instrument.unit]))
    this.#server = await openModbusServer({
      host,
      port,
      units,
      unknownUnit: this.site.unknownUnit,
      faultOf: unitId => faults.wire(this.site.id, unitId),
      ticker,
    })
  }

  step(now: number, stepMs: number): void {
    this.plant.step(now, stepMs)
  }

  render(now: number): void {
    for (const { frozen, instrument } of this.stations.values()) if (!frozen) instrument.render(now)
  }

  resetConnections(): void {
    this.#server?.resetAll()
  }

  save() {
    return {
      plant: this.plant.save(),
      devices: Object.fromEntries([...this.stations].map(([id, { instrument }]) => [id, instrument.save()])),
    }
  }

  restore(saved: ReturnType<CitySite['save']>): void {
    this.plant.restore(saved.plant)
    for (const [id, { instrument }] of this.stations) {
      const own = saved.devices[id]
      if (own !== undefined) instrument.restore(own)
    }
  }

  async close(): Promise<void> {
    await this.#server?.close()
  }

  #add(id: string, unitId: number, make: (deps: Parameters<typeof makeInstrument>[2]) => Instrument): void {
    const distortion = new Distortion()
    const onRead = (address: number, count: number): void => this.#served(station, address, count)
    const instrument = make({ distortion, onRead })
    const station: Station = {
      id,
      unitId,
      instrument,
      distortion,
      frozen: false,
      reads: 0,
      totalReads: 0,
      first: null,
      last: null,
    }
    this.stations.set(id, station)
  }

  #served(station: Station, address: number, count: number): void {
    station.reads++
    const { total } = station.instrument
    if (!total?.covers(address, count)) return
    station.totalReads++
    station.last = { index: total.shown.toString(), at: this.#clock.now() }
    station.first ??= station.last
  }
}

function tooMany(site: string, meters: number): PenstockError {
  const text = `${meters} meters do not fit on site "${site}": unit ids end at 247; give a file with fewer meters`
  return new PenstockError('config-invalid', { text })
}

function startLitres(site: Site, now: number): Map<string, bigint> {
  const starts = new Map<string, bigint>()
  for (const { id, meter } of site.devices) {
    if (!meter) continue
    const { yearToDate } = meter
    const soFar = yearToDate ? yearToDateM3(yearToDate.profile, yearToDate.annualM3, now) : 0
    starts.set(id, litresOf(meter.startM3) + BigInt(Math.floor(soFar * 1000)))
  }
  return starts
}
