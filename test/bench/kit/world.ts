import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, mosquitto, penstock, type Running, startMosquitto } from '../../support/processes.ts'
import { type Metrics, readMetrics } from './metrics.ts'
import { edgeName, loadGroup } from './raw-edges.ts'
import { startRole } from './role.ts'

const helper = (name: string): string => join(import.meta.dirname, `${name}-process.ts`)

export const startLoad = () => startRole(helper('load'))
export const startSubscriber = () => startRole(helper('subscriber'))
export const startFleet = () => startRole(helper('fleet'))
export const startModbusServer = () => startRole(helper('modbus-server'))
export const startBareReads = () => startRole(helper('bare-reads'))

export interface Served {
  readonly name: string
  readonly port: number
  readonly pid: number
  stop(): Promise<unknown>
}

/** Programs of one benchmark in real processes, in a folder of their own; `close` ends and removes all. */
export class BenchWorld {
  readonly folder: string
  readonly #open: (() => Promise<unknown>)[] = []
  #broker: Served | undefined

  private constructor(folder: string) {
    this.folder = folder
  }

  /** On the disk of `PENSTOCK_BENCH_FOLDER`, else where temporary files are. */
  static open(): BenchWorld {
    return new BenchWorld(mkdtempSync(join(process.env.PENSTOCK_BENCH_FOLDER ?? tmpdir(), 'penstock-bench-')))
  }

  keep<T extends { stop(): Promise<unknown> }>(thing: T): T {
    this.#open.push(() => thing.stop())
    return thing
  }

  get broker(): Served {
    if (!this.#broker) throw new Error('the broker was not started')
    return this.#broker
  }

  /** Mosquitto if this machine has it, else the embedded broker in a process of its own. */
  async startBroker(): Promise<Served> {
    if (mosquitto) {
      const port = await freePort()
      const running = await startMosquitto({ folder: join(this.folder, 'mosquitto'), port })
      this.#broker = this.keep({ name: 'mosquitto', port, pid: running.pid, stop: () => running.stop() })
    } else {
      const role = startRole(helper('broker'))
      this.#broker = this.keep({
        name: 'aedes',
        port: await role.call<number>('listen'),
        pid: role.pid,
        stop: role.stop,
      })
    }
    return this.#broker
  }

  /** A gateway for the load edges and `edges`. @param rules text of a rule file */
  async startGateway({ loadEdges = 0, rules = noRules }: { loadEdges?: number; rules?: string }): Promise<Gateway> {
    const names = ['e1', ...Array.from({ length: loadEdges }, (_, index) => edgeName(index))]
    const file = (name: string): string => join(this.folder, name)
    const name = JSON.stringify({ zh: loadGroup, en: loadGroup })
    writeFileSync(
      file('registry.yaml'),
      `groups: [{ id: ${loadGroup}, name: ${name} }]\nedges: ${JSON.stringify(names.map(id => ({ group: loadGroup, id })))}\n`,
    )
    writeFileSync(file('rules.yaml'), rules)
    writeFileSync(file('users.yaml'), 'users: []\ntokens: []\n')
    writeFileSync(
      file('gateway.yaml'),
      JSON.stringify({
        gateway: { hostId: 'bench', groups: [loadGroup], data: 'gateway' },
        broker: { urls: [`mqtt://127.0.0.1:${this.broker.port}`] },
        http: { port: await freePort(), apiTokenFile: 'api-token' },
        rules: ['rules.yaml'],
      }),
    )
    return this.restartGateway()
  }

  /** Once more with the files and the data that are there. */
  async restartGateway(): Promise<Gateway> {
    const running = await penstock('gateway', ['--config', join(this.folder, 'gateway.yaml')], {
      env: { PENSTOCK_LOG: 'warn' },
      readyWithinMs: 120_000,
    })
    return this.keep(new Gateway(running, join(this.folder, 'api-token')))
  }

  /** An edge with the devices of `site`, a site file without edge, host, broker and data. */
  async startEdge(site: EdgeSite): Promise<Edge> {
    const path = join(this.folder, 'e1.yaml')
    for (const [name, profile] of Object.entries(site.profiles ?? {})) {
      writeFileSync(join(this.folder, `${name}.yaml`), JSON.stringify(profile))
    }
    writeFileSync(
      path,
      JSON.stringify({
        edge: { group: loadGroup, id: 'e1', hardwareIdFile: 'hardware' },
        host: 'bench',
        broker: { urls: [`mqtt://127.0.0.1:${site.brokerPort ?? this.broker.port}`] },
        data: 'e1',
        metrics: { port: 0 },
        profiles: ['.'],
        scanClasses: site.scanClasses,
        channels: site.channels,
        devices: site.devices,
      }),
    )
    writeFileSync(join(this.folder, 'hardware'), 'hardware-of-e1')
    return this.restartEdge()
  }

  async restartEdge(): Promise<Edge> {
    const running = await penstock('edge', ['--config', join(this.folder, 'e1.yaml')], {
      env: { PENSTOCK_LOG: 'warn' },
      readyWithinMs: 60_000,
    })
    return this.keep(new Edge(running))
  }

  async close(): Promise<void> {
    for (const stop of this.#open.splice(0).reverse()) await stop().catch(() => {})
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export interface EdgeSite {
  readonly scanClasses: Readonly<Record<string, number>>
  readonly channels: readonly object[]
  readonly devices: readonly object[]
  /** name → profile */
  readonly profiles?: Readonly<Record<string, object>>
  /** instead of the broker's: a way that can be cut */
  readonly brokerPort?: number
}

const noRules = JSON.stringify({ version: 1, rules: [] })

class Program {
  readonly running: Running

  constructor(running: Running) {
    this.running = running
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    this.running.kill('SIGKILL')
    await this.running.exited
  }

  stop(): Promise<unknown> {
    return this.running.stop()
  }
}

export class Edge extends Program {
  metrics(): Promise<Metrics> {
    return readMetrics(String(this.running.ready.metrics))
  }
}

export class Gateway extends Program {
  readonly url: string
  readonly token: string

  constructor(running: Running, tokenFile: string) {
    super(running)
    this.url = String(running.ready.url)
    this.token = readFileSync(tokenFile, 'utf8').trim()
  }

  metrics(): Promise<Metrics> {
    return readMetrics(new URL('/metrics', this.url).href, this.token)
  }

  /** All that is committed has taken effect. */
  async caughtUp(): Promise<boolean> {
    return (await this.metrics()).sum('penstock_consumer_behind_entries') === 0
  }
}
