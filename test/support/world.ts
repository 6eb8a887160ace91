import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BrokerUser, openBroker } from '../../scripts/broker.ts'
import { aclFor, freePort, penstock, type Running, startMosquitto, temporaryFolder } from './processes.ts'

const root = join(import.meta.dirname, '../..')
const demoSites = ['waterworks', 'thermal', 'printing', 'cold-store'] as const
export const demoEdges = [
  { user: 'e01', group: '320706', edge: 'e01' },
  { user: 'e02', group: '320707', edge: 'e02' },
] as const
const groups = ['320706', '320707'] as const

export type BrokerKind = 'mosquitto-5' | 'mosquitto-3.1.1' | 'embedded'

export interface WorldOptions {
  readonly broker: BrokerKind
  readonly scenario: string
  readonly seed?: number
  /** signed messages go here */
  readonly webhookUrl?: string
  /** lines of the broker's access list instead of the right ones */
  readonly acl?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

/** The demonstration city in real processes: simulator, broker, two edges, gateway, each to be killed and started at will. */
export class World {
  readonly folder: string
  readonly httpPort: number
  readonly brokerPort: number
  readonly env: NodeJS.ProcessEnv
  readonly options: WorldOptions
  readonly webhookSecret = randomBytes(16).toString('hex')
  readonly gatewayConfig: string
  readonly #remove: () => void
  readonly #passwords: Readonly<Record<string, string>>
  readonly running = new Map<string, Running>()
  #embedded: { close(): Promise<void> } | undefined

  private constructor(
    options: WorldOptions,
    folder: { path: string; remove: () => void },
    ports: { http: number; broker: number; sites: readonly number[] },
  ) {
    this.options = options
    this.folder = folder.path
    this.#remove = folder.remove
    this.httpPort = ports.http
    this.brokerPort = ports.broker
    this.gatewayConfig = join(folder.path, 'gateway.yaml')
    this.#passwords = Object.fromEntries(
      ['gateway', ...demoEdges.map(edge => edge.user)].map(user => [user, randomBytes(12).toString('hex')]),
    )
    this.env = {
      PENSTOCK_DATA: this.folder,
      PENSTOCK_LOG: 'info',
      PENSTOCK_BROKER_PORT: String(ports.broker),
      PENSTOCK_HTTP_PORT: String(ports.http),
      PENSTOCK_MQTT: options.broker === 'mosquitto-5' ? '5' : '4',
      ...Object.fromEntries(
        demoSites.map((site, index) => [
          `PENSTOCK_PORT_${site.toUpperCase().replaceAll('-', '_')}`,
          String(ports.sites[index]),
        ]),
      ),
      ...options.env,
    }
    this.#write(ports.sites)
  }

  static async open(options: WorldOptions): Promise<World> {
    const sites: number[] = []
    for (const _ of demoSites) sites.push(await freePort())
    return new World(options, temporaryFolder(), { http: await freePort(), broker: await freePort(), sites })
  }

  #write(sites: readonly number[]): void {
    const secrets = join(this.folder, 'secrets')
    mkdirSync(secrets, { recursive: true })
    for (const [user, password] of Object.entries(this.#passwords)) {
      writeFileSync(join(secrets, `${user}.password`), password, { mode: 0o600 })
      writeFileSync(join(secrets, `${user}.hardware`), `hardware-of-${user}`)
    }
    writeFileSync(join(secrets, 'webhook.secret'), this.webhookSecret, { mode: 0o600 })
    writeFileSync(
      join(this.folder, 'ports.json'),
      JSON.stringify(Object.fromEntries(demoSites.map((site, index) => [site, sites[index]]))),
    )
    const demo = readFileSync(join(root, 'demo/gateway.yaml'), 'utf8')
      .replace('registry: registry.yaml', `registry: ${join(this.folder, 'registry.yaml')}`)
      .replace('rules: [rules.yaml]', `rules: ["${join(this.folder, 'rules.yaml')}"]`)
      .replace('users: users.yaml', `users: ${join(root, 'demo/users.yaml')}`)
    const webhooks = this.options.webhookUrl
      ? `webhooks:\n  - id: duty-room\n    url: ${this.options.webhookUrl}\n    secretFile: ${join(secrets, 'webhook.secret')}\n`
      : ''
    for (const name of ['registry.yaml', 'rules.yaml']) {
      writeFileSync(join(this.folder, name), readFileSync(join(root, 'demo', name)))
    }
    writeFileSync(this.gatewayConfig, demo + webhooks)
  }

  /** Everything, in the order simulator, broker, gateway, edges. */
  async startAll(): Promise<void> {
    await this.startSimulator()
    await this.startBroker()
    await this.startGateway()
    for (const { edge } of demoEdges) await this.startEdge(edge)
  }

  startSimulator(more: readonly string[] = []): Promise<Running> {
    const { scenario, seed = 1 } = this.options
    return this.#keep(
      'simulator',
      penstock(
        'simulator',
        [
          ...['--scenario', scenario, '--seed', String(seed), '--use-ports', join(this.folder, 'ports.json')],
          ...['--control', '0', '--control-token-file', join(this.folder, 'control-token'), ...more],
        ],
        { env: this.env },
      ),
    )
  }

  async startBroker(acl?: readonly string[]): Promise<void> {
    if (this.options.broker === 'embedded') {
      const users = new Map<string, BrokerUser>([
        ['gateway', { password: this.#password('gateway'), edge: null }],
        ...demoEdges.map(
          ({ user, group, edge }) => [user, { password: this.#password(user), edge: { group, id: edge } }] as const,
        ),
      ])
      this.#embedded = await openBroker(this.brokerPort, users)
      return
    }
    await this.#keep(
      'broker',
      startMosquitto({
        folder: join(this.folder, 'mosquitto'),
        port: this.brokerPort,
        users: this.#passwords,
        acl: acl ?? this.options.acl ?? aclFor(demoEdges, groups, 'penstock'),
      }),
    )
  }

  startGateway(): Promise<Running> {
    return this.#keep('gateway', penstock('gateway', ['--config', this.gatewayConfig], { env: this.env }))
  }

  startEdge(edge: string): Promise<Running> {
    return this.#keep(edge, penstock('edge', ['--config', join(root, `demo/${edge}.yaml`)], { env: this.env }))
  }

  /** kill -9; resolves when the process is gone. */
  async kill(name: string): Promise<void> {
    if (name === 'broker' && this.#embedded) return this.stopBroker()
    const process = this.running.get(name)
    this.running.delete(name)
    process?.kill('SIGKILL')
    await process?.exited
  }

  async stopBroker(): Promise<void> {
    await this.#embedded?.close()
    this.#embedded = undefined
    await this.running.get('broker')?.stop()
    this.running.delete('broker')
  }

  #password(user: string): string {
    return this.#passwords[user] ?? ''
  }

  async #keep(name: string, starting: Promise<Running>): Promise<Running> {
    const process = await starting
    this.running.set(name, process)
    return process
  }

  /** A request with the token for scripts; the body of the answer, or an error with status and text. */
  async api<T>(path: string, body?: unknown): Promise<T> {
    const response = await this.request(path, body)
    const text = await response.text()
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
    return (text === '' ? null : JSON.parse(text)) as T
  }

  request(path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
    const token = readFileSync(join(this.folder, 'api-token'), 'utf8').trim()
    return fetch(`http://127.0.0.1:${this.httpPort}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        Authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    })
  }

  /** The simulator's control interface. */
  async control<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<T> {
    const port = this.running.get('simulator')?.ready.control
    const token = readFileSync(join(this.folder, 'control-token'), 'utf8').trim()
    const response = await fetch(`http://127.0.0.1:${String(port)}${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
    return (text === '' ? null : JSON.parse(text)) as T
  }

  async close(): Promise<void> {
    for (const name of ['e01', 'e02', 'gateway', 'simulator', 'broker']) {
      await this.running.get(name)?.stop()
    }
    await this.#embedded?.close()
    this.#remove()
  }
}

/** Waits until `probe` gives something other than undefined; says what was awaited when it does not. */
export async function until<T>(
  what: string,
  withinMs: number,
  probe: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const end = performance.now() + withinMs
  let last: unknown
  while (performance.now() < end) {
    try {
      const found = await probe()
      if (found !== undefined) return found
    } catch (error) {
      last = error
    }
    await new Promise(wait => setTimeout(wait, 50))
  }
  throw new Error(`not within ${withinMs} ms: ${what}${last instanceof Error ? ` (${last.message})` : ''}`)
}
