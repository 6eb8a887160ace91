import { type Cancel, type Clock, systemClock, systemTicker, type Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import { type Logger, silentLogger } from '@penstock/core/runtime/log.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import { beginAction } from './actions.ts'
import { CitySite, type Served } from './city-site.ts'
import type { MapLine } from './devices/instrument.ts'
import { type ActiveFault, FaultBoard } from './faults.ts'
import { type MeterRows, readMeters, realMetersVariable } from './real-meters.ts'
import { readState, writeState } from './saved-state.ts'
import { type LoadedScenario, loadScenario } from './scenario/load.ts'
import { Script } from './scenario/script.ts'
import type { Action, FaultSpec, Step } from './scenario-file.ts'

export interface SimulatorOptions {
  /** name, file, or an already loaded scenario */
  readonly scenario: string | LoadedScenario
  readonly seed?: number
  /** plants, stamps, script; a manual one makes a run repeatable */
  readonly clock?: Clock
  /** late answers, saving */
  readonly ticker?: Ticker
  /** how fast `clock` passes, for the length of a step */
  readonly factor?: number
  readonly host?: string
  /** port of a site, 1-based number given; default 0, a free one */
  readonly portOf?: (site: string, number: number) => number
  /** file or folder of readings for scenarios with loggers; default: the environment variable */
  readonly readings?: string | undefined
  /** file that keeps the plants over restarts */
  readonly stateFile?: string | undefined
  readonly files?: FileLayer
  readonly log?: Logger
}

export interface DeviceInfo {
  readonly id: string
  readonly unitId: number
  readonly kind: string
  readonly map: readonly MapLine[]
  readonly values: Readonly<Record<string, number | boolean | string>>
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
  readonly counted: string
  readonly shown: string
  readonly first: Served | null
  readonly last: Served | null
  readonly totalReads: number
}

export interface PlantState {
  readonly tanks: Readonly<Record<string, { readonly level: number; readonly overflowM3: number }>>
  readonly flows: Readonly<
    Record<string, { readonly passedM3: number; readonly running: boolean; readonly mode: string }>
  >
  readonly rooms: Readonly<
    Record<
      string,
      { readonly mgPerM3: number; readonly storedKg: number; readonly leakMgPerSecond: number; readonly fan: boolean }
    >
  >
}

const shortestStepMs = 200
const longestStepMs = 10_000
const catchUpMs = 7 * 86_400_000
const saveEveryMs = 1000

/** A running city. */
export class Simulator {
  readonly scenario: LoadedScenario
  readonly #sites: readonly CitySite[]
  readonly #faults: FaultBoard
  readonly #script: Script
  readonly #clock: Clock
  readonly #ticker: Ticker
  readonly #stepMs: number
  readonly #files: FileLayer
  readonly #stateFile: string | undefined
  readonly #log: Logger
  #plantNow: number
  #elapsedMs = 0
  /** what already stood in the saved state is not done again */
  #replaying = false
  readonly #metersSet = new Set<number>()
  #paused = false
  #cancelStep: Cancel = () => {}
  #cancelSave: Cancel = () => {}
  #saving: Promise<void> = Promise.resolve()
  #closed = false
  #closing: Promise<void> | undefined

  private constructor(
    scenario: LoadedScenario,
    sites: readonly CitySite[],
    faults: FaultBoard,
    options: SimulatorOptions,
  ) {
    this.scenario = scenario
    this.#sites = sites
    this.#faults = faults
    this.#clock = options.clock ?? systemClock
    this.#ticker = options.ticker ?? systemTicker
    this.#files = options.files ?? nodeFiles
    this.#log = options.log ?? silentLogger
    this.#stateFile = options.stateFile
    this.#stepMs = Math.min(longestStepMs, Math.max(shortestStepMs, 100 * (options.factor ?? 1)))
    this.#plantNow = this.#clock.now()
    this.#script = new Script(scenario.steps, (step, index) => this.#begin(step, index))
  }

  /** @throws PenstockError `config-missing`, `config-invalid`, `port-in-use` */
  static async open(options: SimulatorOptions): Promise<Simulator> {
    const scenario = typeof options.scenario === 'string' ? loadScenario(options.scenario) : options.scenario
    const clock = options.clock ?? systemClock
    const sites = scenario.sites.map(site => {
      const readings = site.loggers?.readings === 'environment' ? readingsPath(options) : site.loggers?.readings
      const meters = readings === undefined ? new Map<string, MeterRows>() : readMeters(readings)
      return new CitySite(site, options.seed ?? 1, clock, meters)
    })
    const byId = new Map(sites.map(site => [site.site.id, site]))
    const faults = new FaultBoard(
      new Map(sites.map(({ site, stations }) => [site.id, stations])),
      () => clock.now(),
      site => byId.get(site)?.resetConnections(),
    )
    const simulator = new Simulator(scenario, sites, faults, options)
    await simulator.#restore(options.factor ?? 1)
    // One step before anybody looks, so that pumps that run show a flow.
    for (const site of sites) site.step(simulator.#plantNow, simulator.#stepMs)
    simulator.#replaying = simulator.#elapsedMs > 0
    simulator.#script.runUntil(simulator.#elapsedMs)
    simulator.#replaying = false
    for (const site of sites) site.render(simulator.#plantNow)
    try {
      for (const [index, site] of sites.entries()) {
        const port = options.portOf?.(site.site.id, index + 1) ?? 0
        await site.listen(options.host ?? '127.0.0.1', port, faults, simulator.#ticker)
      }
    } catch (error) {
      await Promise.all(sites.map(site => site.close()))
      throw error
    }
    simulator.#schedule()
    if (options.stateFile !== undefined) simulator.#scheduleSave()
    return simulator
  }

  get sites(): readonly SiteInfo[] {
    return this.#sites.map(({ site, port, requests, connections, stations }) => ({
      id: site.id,
      name: site.name,
      port,
      requests,
      connections,
      devices: [...stations.values()].map(({ id, unitId, instrument }) => ({
        id,
        unitId,
        kind: instrument.kind,
        map: instrument.map,
        values: instrument.values(),
      })),
    }))
  }

  /** The port of a site. @throws RangeError when there is none */
  port(site: string): number {
    const found = this.#sites.find(candidate => candidate.site.id === site)
    if (!found) throw new RangeError(`there is no site "${site}"`)
    return found.port
  }

  /** What the registers of a device show now, by tag name. */
  values(target: string): Readonly<Record<string, number | boolean | string>> {
    const [site, device = ''] = target.split('/')
    const station = this.#sites.find(candidate => candidate.site.id === site)?.stations.get(device)
    if (!station) throw new RangeError(`there is no device "${target}"`)
    return station.instrument.values()
  }

  get faults(): readonly ActiveFault[] {
    return this.#faults.active
  }

  /** Whether a fault target names a site or device of this city. */
  knows(target: string): boolean {
    return this.#faults.knows(target)
  }

  /** Starts a fault, for `forMs` of the plants' time or until it is cleared; returns its id. */
  inject(fault: Partial<FaultSpec> & Pick<FaultSpec, 'target' | 'kind'>, forMs: number | null = null): string {
    if (!this.#faults.knows(fault.target)) throw new RangeError(`there is no site or device "${fault.target}"`)
    const id = this.#faults.inject({ delayMs: 1000, code: 4, perMinute: 0, ...fault })
    if (forMs !== null) this.#script.at(this.#elapsedMs + forMs, () => this.#faults.clear(id))
    return id
  }

  clear(id: string): boolean {
    return this.#faults.clear(id)
  }

  clearAll(): void {
    for (const { id } of this.#faults.active) this.#faults.clear(id)
  }

  /** Does what a step of a scenario can do, now; ends it after `forMs` of the plants' time. */
  act(action: Action, forMs: number | null = null): void {
    this.#script.add({ ...action, atMs: this.#elapsedMs, forMs }, null, this.#elapsedMs, forMs)
    this.#script.runUntil(this.#elapsedMs)
    for (const site of this.#sites) site.render(this.#plantNow)
  }

  get truth(): readonly MeterTruth[] {
    return this.#sites.flatMap(({ site, stations }) =>
      [...stations.values()].flatMap(({ id, instrument, first, last, totalReads }) => {
        const { total } = instrument
        if (!total) return []
        return [
          {
            site: site.id,
            device: id,
            resolution: total.resolution,
            modulus: total.modulus.toString(),
            counted: total.counted.toString(),
            shown: total.shown.toString(),
            first,
            last,
            totalReads,
          },
        ]
      }),
    )
  }

  get plants(): Readonly<Record<string, PlantState>> {
    return Object.fromEntries(this.#sites.map(({ site, plant }) => [site.id, plantState(plant)]))
  }

  /** ms since the start that the script has run */
  get elapsedMs(): number {
    return this.#elapsedMs
  }

  get paused(): boolean {
    return this.#paused
  }

  /** Lets the plants stand still; requests are answered with what the registers hold. */
  pause(): void {
    this.#paused = true
  }

  /** Goes on from the present time; nothing has flowed in between. */
  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#plantNow = this.#clock.now()
  }

  /** Moves paused plants on by `ms`. */
  step(ms: number): void {
    if (!this.#paused) throw new RangeError('pause the plants before stepping them')
    this.#advanceTo(this.#plantNow + ms, 0)
  }

  /** Idempotent; saves the state, then closes all ports. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#closed = true
    this.#cancelStep()
    this.#cancelSave()
    await Promise.all(this.#sites.map(site => site.close()))
    await this.#saving
    if (this.#stateFile !== undefined) await this.#save(this.#stateFile)
  }

  #begin(step: Step, index: number | null): () => void {
    const done = (step.level && this.#replaying) || (step.total && index !== null && this.#metersSet.has(index))
    if (done) return () => {}
    if (step.total && index !== null) this.#metersSet.add(index)
    return beginAction(step, this.#sites, this.#faults)
  }

  #schedule(): void {
    if (this.#closed) return
    const due = this.#paused ? this.#stepMs : Math.max(1, this.#plantNow + this.#stepMs - this.#clock.now())
    this.#cancelStep = this.#clock.after(due, () => {
      if (!this.#paused) this.#followClock()
      this.#schedule()
    })
  }

  #followClock(): void {
    const now = this.#clock.now()
    // A clock that was set back: what has flowed has flowed, the plants go on from the new time.
    if (now < this.#plantNow - this.#stepMs) this.#plantNow = now
    this.#advanceTo(now, this.#stepMs - 1)
  }

  /** Steps the plants to `end`, leaving at most `slackMs` for the next time. */
  #advanceTo(end: number, slackMs: number): void {
    const before = this.#plantNow
    if (end - this.#plantNow > catchUpMs) this.#plantNow = end - catchUpMs
    for (let left = end - this.#plantNow; left > slackMs; left = end - this.#plantNow) {
      // After a long sleep of the machine the plants catch up in long steps.
      const step = Math.min(left, left > 60_000 ? Math.max(this.#stepMs, longestStepMs) : this.#stepMs)
      this.#plantNow += step
      this.#elapsedMs += step
      this.#script.runUntil(this.#elapsedMs)
      for (const site of this.#sites) site.step(this.#plantNow, step)
    }
    if (this.#plantNow !== before) for (const site of this.#sites) site.render(this.#plantNow)
  }

  async #restore(factor: number): Promise<void> {
    if (this.#stateFile === undefined) return
    const saved = await readState(this.#files, this.#stateFile)
    if (!saved) return
    for (const site of this.#sites) {
      const own = saved.sites[site.site.id]
      if (own) site.restore(own)
    }
    if (saved.scenario === this.scenario.scenario) {
      this.#elapsedMs = saved.elapsedMs
      for (const index of saved.metersSet) this.#metersSet.add(index)
    }
    // Meters count while nobody looks. The least is what they may have counted after the last save before a kill.
    const missed = Math.min(catchUpMs, Math.max(this.#clock.now() - saved.at, 2 * saveEveryMs * factor))
    const stepMs = Math.max(this.#stepMs, missed > 60_000 ? longestStepMs : 0)
    for (let left = missed; left > 0; left -= stepMs) {
      const step = Math.min(left, stepMs)
      for (const site of this.#sites) site.step(this.#plantNow - left + step, step)
    }
  }

  #scheduleSave(): void {
    this.#cancelSave = this.#ticker.after(saveEveryMs, () => {
      const path = this.#stateFile
      if (path === undefined || this.#closed) return
      this.#saving = this.#save(path).catch((error: unknown) => this.#log.warn({ err: error, path }, 'state not saved'))
      void this.#saving.then(() => {
        if (!this.#closed) this.#scheduleSave()
      })
    })
  }

  async #save(path: string): Promise<void> {
    const sites = Object.fromEntries(this.#sites.map(site => [site.site.id, site.save()]))
    await writeState(this.#files, path, {
      version: 1,
      at: this.#plantNow,
      scenario: this.scenario.scenario,
      elapsedMs: this.#closed ? 0 : this.#elapsedMs,
      metersSet: [...this.#metersSet],
      sites,
    })
  }
}

/** Opens a city: reads the scenario, sets up the plants, listens, and lets time pass. */
export const openSimulator = (options: SimulatorOptions): Promise<Simulator> => Simulator.open(options)

function readingsPath(options: SimulatorOptions): string {
  const path = options.readings ?? process.env[realMetersVariable]
  if (path) return path
  throw new PenstockError('config-invalid', {
    text: `this scenario replays a file of readings; name it with --readings FILE or in ${realMetersVariable}`,
  })
}

function plantState(plant: CitySite['plant']): PlantState {
  return {
    tanks: Object.fromEntries(
      [...plant.tanks].map(([id, tank]) => [id, { level: tank.level, overflowM3: tank.overflowMicro / 1e6 }]),
    ),
    flows: Object.fromEntries(
      [...plant.flows].map(([id, flow]) => [
        id,
        { passedM3: flow.passedMicro / 1e6, running: flow.running, mode: flow.mode },
      ]),
    ),
    rooms: Object.fromEntries(
      [...plant.rooms].map(([id, room]) => [
        id,
        {
          mgPerM3: room.mgPerM3,
          storedKg: room.storedMg / 1e6,
          leakMgPerSecond: room.leakMgPerSecond,
          fan: room.fanRunning,
        },
      ]),
    ),
  }
}
