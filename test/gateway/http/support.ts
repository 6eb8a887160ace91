import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemTicker, type Ticker } from '@penstock/core/runtime/clock.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { EmbeddedHistorian } from '@penstock/gateway/historian/embedded.ts'
import { hashPassword } from '@penstock/gateway/http/auth/password.ts'
import { hashSecret } from '@penstock/gateway/http/auth/token.ts'
import type { AlarmBody } from '@penstock/gateway/http/contract/alarms.ts'
import type { CommandOutcome, HttpParts, JournalQuery } from '@penstock/gateway/http/parts.ts'
import { type HttpServer, openHttp } from '@penstock/gateway/http/server.ts'
import type { AlarmCommand, InboxEntry } from '@penstock/gateway/ingest/record.ts'
import { LiveTable } from '@penstock/gateway/live/live-table.ts'
import type { LiveEdge } from '@penstock/gateway/live/table.ts'
import { Configuration } from '@penstock/gateway/registry/configuration.ts'
import { Store } from '@penstock/gateway/store/store.ts'
import { ManualTime } from '../../support/manual-time.ts'

export const startTime = Date.UTC(2026, 10, 21, 12)
export const roles = ['viewer', 'operator', 'engineer', 'admin'] as const
export const tokenOf = (role: (typeof roles)[number]): string => `token-of-the-${role}-0123456789`
export const password = 'correct horse 电池'

/** Fixed by the first call: scrypt is slow on purpose. */
let passwordHash: Promise<string> | undefined

export const registryText = (name = 'Waterworks') => `
groups: [{ id: "320706", name: { zh: 海州区, en: Haizhou } }]
sites:
  - { id: waterworks, group: "320706", name: { zh: 水厂, en: ${name} }, kind: water }
edges: [{ group: "320706", id: e01 }, { group: "320706", id: e02 }]
devices: [{ site: waterworks, id: fm-1, name: { zh: 一号, en: Meter 1 }, area: intake }]
`

export const edge = (id: string, more: Partial<LiveEdge> = {}): LiveEdge => ({
  edge: `320706/${id}`,
  online: true,
  registered: true,
  hardwareId: `box-${id}`,
  software: 'penstock 0.1.0',
  epoch: '1',
  since: startTime,
  skewMs: 12,
  backlog: { alarm: 0, total: 0, raw: 3 },
  lagMs: 40,
  lostBatches: 0,
  problem: null,
  devices: [{ device: 'waterworks:fm-1', site: 'waterworks', online: true }],
  ...more,
})

export const alarm = (id: string, more: Partial<AlarmBody> = {}): AlarmBody => ({
  id,
  rule: id.split('@')[0] ?? id,
  source: id.split('@')[1] ?? 'waterworks/cl2-1/concentration',
  site: 'waterworks',
  device: 'cl2-1',
  priority: 'critical',
  state: 'UNACK',
  health: 'ok',
  active: true,
  acknowledged: false,
  inhibitedUntil: null,
  occ: 2,
  ann: 1,
  level: 'H',
  value: 0.5,
  limit: 0.33,
  unit: 'ppm',
  raisedAt: startTime,
  returnedAt: null,
  acknowledgedAt: null,
  acknowledgedBy: null,
  text: { zh: '氯气泄漏', en: 'chlorine leak' },
  response: null,
  ...more,
})

/** Alarms as the server sees them, with what was commanded. */
class FakeAlarms {
  readonly alarms = new Map<string, AlarmBody>()
  readonly commands: { command: AlarmCommand; actor: string; commandId: string }[] = []
  readonly listeners = new Set<(ids: readonly string[]) => void>()
  outcome: CommandOutcome = { status: 'done' }
  list = () => [...this.alarms.values()]
  find = (id: string) => this.alarms.get(id)
  inhibits = () => new Map([['waterworks/cl2-2', { until: startTime + 1000, reason: 'calibration', by: 'li' }]])
  journal = async (_: JournalQuery) => ({ records: [], next: null })
  submit = async (command: AlarmCommand, actor: string, commandId: string): Promise<CommandOutcome> => {
    this.commands.push({ command, actor, commandId })
    return this.outcome
  }
  onChange = (listener: (ids: readonly string[]) => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }
}

export interface TestServerOptions {
  readonly http?: Partial<HttpParts['http']>
  readonly consoleFolder?: string
  readonly maxUnreadBytes?: number
  readonly ticker?: Ticker
}

/** The HTTP server with real store, configuration, historian and live table, and a clock of its own. */
export class TestServer {
  readonly folder: string
  readonly time: ManualTime
  readonly live = new LiveTable()
  readonly alarms = new FakeAlarms()
  readonly edges: LiveEdge[] = [edge('e01')]
  readonly adopted: string[] = []
  readonly entries: InboxEntry[] = []
  readonly readiness: Record<string, string | null> = { broker: null, storage: null }
  store: Store
  configuration: Configuration
  historian: EmbeddedHistorian
  server: HttpServer

  private constructor(
    folder: string,
    time: ManualTime,
    parts: { store: Store; configuration: Configuration; historian: EmbeddedHistorian },
    makeServer: (self: TestServer) => HttpServer | undefined,
  ) {
    this.folder = folder
    this.time = time
    this.store = parts.store
    this.configuration = parts.configuration
    this.historian = parts.historian
    this.server = makeServer(this) as HttpServer
  }

  static async open(options: TestServerOptions = {}): Promise<TestServer> {
    const folder = mkdtempSync(join(tmpdir(), 'penstock-http-'))
    const time = new ManualTime(startTime)
    passwordHash ??= hashPassword(password)
    writeFileSync(join(folder, 'registry.yaml'), registryText())
    const users = roles.map(role => `  - { id: ${role}-1, name: 用户, role: ${role}, password: "$HASH" }`)
    const tokens = roles.map(role => `  - { id: ${role}-t, role: ${role}, hash: "${hashSecret(tokenOf(role))}" }`)
    const text = `users:\n${users.join('\n')}\ntokens:\n${tokens.join('\n')}\n`.replaceAll('$HASH', await passwordHash)
    writeFileSync(join(folder, 'users.yaml'), text)
    const store = await Store.open(join(folder, 'store.sqlite'))
    const configuration = await Configuration.open({
      file: { registry: join(folder, 'registry.yaml'), rules: [], users: join(folder, 'users.yaml') },
      store,
      clock: time,
      ticker: time,
      log: silentLogger,
    })
    const historian = EmbeddedHistorian.open({
      folder,
      clock: time,
      ticker: time,
      log: silentLogger,
      rawDays: 35,
      maxBytes: 2 ** 30,
      freeBytes: () => 2 ** 40,
    })
    const self = new TestServer(folder, time, { store, configuration, historian }, () => undefined)
    await configuration.publish({ append: entry => self.entries.push(entry) - 1, commit: async () => {} })
    const { maxUnreadBytes } = options
    self.server = await openHttp(self.#parts(options), maxUnreadBytes === undefined ? {} : { maxUnreadBytes })
    return self
  }

  get url(): string {
    return this.server.url
  }

  get apiToken(): string {
    return readFileSync(join(this.folder, 'api-token'), 'utf8').trim()
  }

  /** A request as a script makes it. */
  get(path: string, token: string | null = tokenOf('viewer'), headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { headers: { ...bearer(token), ...headers }, redirect: 'manual' })
  }

  post(
    path: string,
    body: unknown,
    token: string | null = tokenOf('admin'),
    headers: Record<string, string> = {},
  ): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: { ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...bearer(token), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  }

  /** A value of a tag that edge e01 declares. */
  setTag(tag: string, value: number, more: { quality?: 'good' | 'bad'; at?: number } = {}): void {
    const at = more.at ?? this.time.now()
    const [site = '', device = ''] = tag.split('/')
    const declaration = {
      tag,
      type: 'Double',
      class: 'raw',
      unit: 'm3/h',
      scanMs: 5000,
      deadband: null,
      heartbeatMs: 60_000,
      resolution: null,
      modulus: null,
    } as const
    this.live.declare('320706/e01', `${site}:${device}`, declaration, at, true)
    const quality = more.quality ?? 'good'
    const reading = { tag, type: 'Double', value, quality, reason: null, sourceTimestamp: at } as const
    this.live.update(
      '320706/e01',
      quality === 'bad' ? { ...reading, value: null, quality, reason: 'timeout' } : reading,
      at,
      true,
    )
  }

  async close(): Promise<void> {
    await this.server.close()
    await this.configuration.close()
    await this.historian.close()
    await this.store.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #parts({ http, consoleFolder, ticker }: TestServerOptions): HttpParts {
    return {
      http: {
        host: '127.0.0.1',
        port: 0,
        hostNames: ['scada.example'],
        publicUrl: 'https://water.example',
        tls: null,
        behindProxy: null,
        apiTokenFile: join(this.folder, 'api-token'),
        printSignIn: true,
        ...http,
      },
      clock: this.time,
      ticker: ticker ?? systemTicker,
      log: silentLogger,
      live: this.live,
      edges: {
        list: () => this.edges,
        adopt: async name => {
          this.adopted.push(name)
          const index = this.edges.findIndex(one => one.edge === name)
          const found = this.edges[index]
          if (found) this.edges[index] = { ...found, registered: true, problem: null }
        },
      },
      alarms: this.alarms,
      historian: this.historian,
      configuration: this.configuration,
      store: this.store,
      status: () => ({
        version: '0.1.0',
        hostId: 'penstock',
        ledger: 'ledger-1',
        startedAt: startTime,
        timeFactor: 1,
        broker: { connected: true, detail: null },
        storage: { state: this.historian.storageState(), historianBytes: this.historian.bytes, maxBytes: 2 ** 30 },
        inbox: { first: 0, end: 0, bytes: 0 },
        consumers: [],
        problems: [],
      }),
      readiness: () => this.readiness,
      metrics: async () => 'penstock_up 1\n',
      consoleFolder: consoleFolder ?? null,
    }
  }
}

const bearer = (token: string | null): Record<string, string> =>
  token === null ? {} : { Authorization: `Bearer ${token}` }

export interface StreamEvent {
  readonly event: string
  readonly id: string | null
  readonly data: Record<string, unknown>
}

/** Reads server-sent events from a response. */
export class EventReader {
  readonly events: StreamEvent[] = []
  comments = 0
  ended = false
  readonly done: Promise<void>

  constructor(response: Response) {
    this.done = this.#read(response)
      .catch(() => {})
      .finally(() => {
        this.ended = true
      })
  }

  of(event: string): StreamEvent[] {
    return this.events.filter(one => one.event === event)
  }

  async #read(response: Response): Promise<void> {
    const decoder = new TextDecoder()
    let rest = ''
    for await (const chunk of response.body ?? []) {
      const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        if (block.startsWith(':')) {
          this.comments++
          continue
        }
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? null
        this.events.push({ event: field('event') ?? '', id: field('id'), data: JSON.parse(field('data') ?? '{}') })
      }
    }
  }
}
