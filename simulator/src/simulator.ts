import { type Clock, systemClock, systemTicker, type Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import { type Logger, silentLogger } from '@penstock/core/runtime/log.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import { CityRun } from './city-run.ts'
import { CitySite } from './city-site.ts'
import { type ActiveFault, FaultBoard } from './faults.ts'
import { type MeterRows, readMeters, realMetersVariable } from './real-meters.ts'
import { readState, StateKeeper } from './saved-state.ts'
import { type LoadedScenario, loadScenario } from './scenario/load.ts'
import type { Action, FaultSpec } from './scenario-file.ts'
import { type MeterTruth, type PlantState, plantState, type SiteInfo, siteInfo, truthOf } from './views.ts'

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
  /** port of a site and its number from 1; default 0, a free one */
  readonly portOf?: (site: string, number: number) => number
  /** file or folder of readings for scenarios with loggers; default: the environment variable */
  readonly readings?: string | undefined
  /** file that keeps the plants over restarts */
  readonly stateFile?: string | undefined
  readonly files?: FileLayer
  readonly log?: Logger
}

/** A fault with only what it needs; the rest has the defaults of the scenario file. */
export type Fault = Pick<FaultSpec, 'site' | 'kind'> & Partial<FaultSpec>

/** A running city: its ports are open and its time passes. */
export class Simulator {
  readonly scenario: LoadedScenario
  readonly #sites: readonly CitySite[]
  readonly #faults: FaultBoard
  readonly #run: CityRun
  readonly #keeper: StateKeeper | null
  #closing: Promise<void> | undefined

  private constructor(
    scenario: LoadedScenario,
    sites: readonly CitySite[],
    faults: FaultBoard,
    run: CityRun,
    keeper: StateKeeper | null,
  ) {
    this.scenario = scenario
    this.#sites = sites
    this.#faults = faults
    this.#run = run
    this.#keeper = keeper
  }

  /** @throws PenstockError `config-missing`, `config-invalid`, `port-in-use` */
  static async open(options: SimulatorOptions): Promise<Simulator> {
    const { clock = systemClock, ticker = systemTicker, factor = 1, files = nodeFiles, log = silentLogger } = options
    const scenario = typeof options.scenario === 'string' ? loadScenario(options.scenario) : options.scenario
    const sites = scenario.sites.map(site => new CitySite(site, options.seed ?? 1, clock, readingsOf(site, options)))
    const faults = new FaultBoard(
      new Map(sites.map(({ site, stations }) => [site.id, stations])),
      () => clock.now(),
      site => sites.find(candidate => candidate.site.id === site)?.resetConnections(),
    )
    const run = new CityRun(scenario.steps, sites, faults, { clock, factor })
    const keeper = options.stateFile === undefined ? null : await keep(options.stateFile, scenario, run, sites)
    run.start()
    try {
      for (const [index, site] of sites.entries()) {
        const port = options.portOf?.(site.site.id, index + 1) ?? 0
        await site.listen(options.host ?? '127.0.0.1', port, faults, ticker)
      }
    } catch (error) {
      run.stop()
      await Promise.all(sites.map(site => site.close()))
      throw error
    }
    keeper?.start()
    return new Simulator(scenario, sites, faults, run, keeper)

    async function keep(path: string, { scenario: name }: LoadedScenario, city: CityRun, of: readonly CitySite[]) {
      const saved = await readState(files, path)
      if (saved) city.restore(saved, name)
      return new StateKeeper(path, { files, ticker, log }, stopping => ({
        version: 1,
        at: city.now,
        scenario: name,
        elapsedMs: stopping ? 0 : city.elapsedMs,
        metersSet: city.metersSet,
        sites: Object.fromEntries(of.map(site => [site.site.id, site.save()])),
      }))
    }
  }

  get sites(): readonly SiteInfo[] {
    return this.#sites.map(siteInfo)
  }

  /** The port of a site. @throws RangeError when there is none */
  port(site: string): number {
    return this.#site(site).port
  }

  /** What the registers of a device show now, by tag name. @throws RangeError when there is none */
  values(site: string, device: string): Readonly<Record<string, number | boolean | string>> {
    const station = this.#site(site).stations.get(device)
    if (!station) throw new RangeError(`there is no device "${site}/${device}"`)
    return station.instrument.values()
  }

  get faults(): readonly ActiveFault[] {
    return this.#faults.active
  }

  /** Starts a fault, for `forMs` of the plants' time or until it is cleared; returns its id. @throws RangeError */
  inject(fault: Fault, forMs: number | null = null): string {
    const id = this.#faults.inject({ device: null, delayMs: 1000, code: 4, perMinute: 0, ...fault })
    if (forMs !== null) this.#run.after(forMs, () => this.#faults.clear(id))
    return id
  }

  /** false: there is no such fault (any more). */
  clear(id: string): boolean {
    return this.#faults.clear(id)
  }

  clearAll(): void {
    for (const { id } of this.#faults.active) this.#faults.clear(id)
  }

  /** Does what a step of a scenario can do, now; ends it after `forMs` of the plants' time. @throws RangeError */
  act(action: Action, forMs: number | null = null): void {
    this.#run.act(action, forMs)
  }

  /** What every meter really counted, and what was read of it. */
  get truth(): readonly MeterTruth[] {
    return this.#sites.flatMap(truthOf)
  }

  get plants(): Readonly<Record<string, PlantState>> {
    return Object.fromEntries(this.#sites.map(({ site, plant }) => [site.id, plantState(plant)]))
  }

  /** ms since the start that the script has run */
  get elapsedMs(): number {
    return this.#run.elapsedMs
  }

  get paused(): boolean {
    return this.#run.paused
  }

  /** Lets the plants stand still; requests are answered with what the registers hold. */
  pause(): void {
    this.#run.pause()
  }

  resume(): void {
    this.#run.resume()
  }

  /** Moves paused plants on by `ms`. @throws RangeError when they are not paused */
  step(ms: number): void {
    this.#run.step(ms)
  }

  /** Idempotent; closes all ports, then saves the state. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#run.stop()
    await Promise.all(this.#sites.map(site => site.close()))
    await this.#keeper?.close()
  }

  #site(id: string): CitySite {
    const found = this.#sites.find(candidate => candidate.site.id === id)
    if (!found) throw new RangeError(`there is no site "${id}"`)
    return found
  }
}

/** Opens a city: reads the scenario, sets up the plants, listens, and lets time pass. */
export const openSimulator = (options: SimulatorOptions): Promise<Simulator> => Simulator.open(options)

function readingsOf(site: CitySite['site'], options: SimulatorOptions): Map<string, MeterRows> {
  if (!site.loggers) return new Map()
  if (site.loggers.readings !== 'environment') return readMeters(site.loggers.readings)
  const path = options.readings ?? process.env[realMetersVariable]
  if (path) return readMeters(path)
  throw new PenstockError('config-invalid', {
    text: `this scenario replays a file of readings; name it with --readings FILE or in ${realMetersVariable}`,
  })
}
