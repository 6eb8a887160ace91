import { silentLogger } from '@penstock/core/runtime/log.ts'
import type { Consumer } from '@penstock/gateway/consumer.ts'
import type { DeliveryRules } from '@penstock/gateway/ingest/batch-lane.ts'
import type { AlarmInputs } from '@penstock/gateway/ingest/host.ts'
import { type Ingest, openIngest } from '@penstock/gateway/ingest/ingest.ts'
import type { BatchEntry, InboxRecord, LossEntry } from '@penstock/gateway/ingest/record.ts'
import { LiveTable } from '@penstock/gateway/live/live-table.ts'
import type { EdgeRegistry } from '@penstock/gateway/registry/registry.ts'
import { FaultyFiles } from '../../support/faulty-files.ts'
import { ManualTime } from '../../support/manual-time.ts'
import { Network } from '../../support/network.ts'
import { SeededRandom } from '../../support/random.ts'
import { FakeEdge, type FakeEdgeOptions } from './fake-edge.ts'

export const startOfTime = Date.UTC(2026, 0, 1)

/** Registered edges and sites in memory. */
class MemoryRegistry implements EdgeRegistry {
  readonly edges = new Map<string, { hardwareId: string | null }>()
  readonly bound = new Map<string, string>()
  readonly sites = new Map<string, string>()

  edge(group: string, id: string): { hardwareId: string | null } | null {
    return this.edges.get(`${group}/${id}`) ?? null
  }

  boundHardware(edge: string): string | null {
    return this.bound.get(edge) ?? null
  }

  bindHardware(edge: string, hardwareId: string): void {
    this.bound.set(edge, hardwareId)
  }

  groupOfSite(site: string): string | null {
    return this.sites.get(site) ?? null
  }
}

/** Keeps everything; its cursor moves with `flush`, or at once. */
export class MemoryConsumer implements Consumer {
  readonly name: string
  cursor = 0
  applied: InboxRecord[] = []
  fails: Error | null = null
  durableAtOnce = true
  closed = false
  #next = 0

  constructor(name = 'memory') {
    this.name = name
  }

  async apply(records: readonly InboxRecord[]): Promise<void> {
    if (this.fails) throw this.fails
    this.applied.push(...records)
    this.#next = (records.at(-1)?.position ?? 0) + 1
    if (this.durableAtOnce) this.cursor = this.#next
  }

  async flush(): Promise<void> {
    this.cursor = Math.max(this.cursor, this.#next)
  }

  async close(): Promise<void> {
    this.closed = true
  }

  get batches(): BatchEntry[] {
    return this.applied.flatMap(({ entry }) => (entry.kind === 'batch' ? entry : []))
  }

  get losses(): LossEntry[] {
    return this.applied.flatMap(({ entry }) => (entry.kind === 'loss' ? entry : []))
  }

  /** Events of edges as `online g1/e1`, `device-offline g1/e1 plant:fm-1`. */
  get events(): string[] {
    return this.applied.flatMap(({ entry }) =>
      entry.kind === 'edge' ? [`${entry.event} ${entry.edge}${entry.device === null ? '' : ` ${entry.device}`}`] : [],
    )
  }

  /** Values of the readings of one class, in the order in which they took effect. */
  values(deliveryClass = 'raw'): unknown[] {
    return this.batches
      .filter(entry => entry.class === deliveryClass)
      .flatMap(entry => entry.readings.map(({ value }) => value))
  }
}

export interface GatewayOptions {
  readonly rules?: DeliveryRules
  readonly limits?: AlarmInputs
  readonly consumers?: readonly Consumer[]
  readonly maxBytes?: number
  readonly segmentBytes?: number
  readonly hostId?: string
  readonly reorderMs?: number
  readonly folder?: string
}

const noLimits: AlarmInputs = { limitsFor: () => null, readsLive: () => false }

/** A broker, a disk and a time; gateways and edges on them. */
export class World {
  readonly time = new ManualTime(startOfTime)
  readonly random: SeededRandom
  readonly network: Network
  readonly files: FaultyFiles
  readonly registry = new MemoryRegistry()
  live = new LiveTable()
  consumer = new MemoryConsumer()
  readonly opened: Ingest[] = []

  constructor(seed = 1) {
    this.random = new SeededRandom(seed)
    this.network = new Network({ time: this.time, random: this.random })
    this.files = new FaultyFiles(this.random.next)
    this.registry.edges.set('g1/e1', { hardwareId: null })
  }

  /** Opens a gateway and lets it connect. */
  async gateway(options: GatewayOptions = {}): Promise<Ingest> {
    const { hostId = 'penstock', folder = '/data', rules = {}, limits = noLimits } = options
    const opening = openIngest({
      config: {
        hostId,
        groups: ['g1', 'g2'],
        folder,
        ...(options.reorderMs === undefined ? {} : { reorderMs: options.reorderMs }),
        segmentBytes: options.segmentBytes ?? 64 * 1024,
        maxBytes: options.maxBytes ?? 16 * 2 ** 20,
      },
      files: this.files,
      clock: this.time,
      ticker: this.time,
      connect: this.network.connect,
      log: silentLogger,
      registry: this.registry,
      consumers: options.consumers ?? [this.consumer],
      live: this.live,
      random: this.random.next,
      limits,
      rules,
      newLedger: () => `${folder.slice(1)}-ledger`,
    })
    const ingest = await opening
    this.opened.push(ingest)
    await this.time.advance(100)
    return ingest
  }

  async edge(options: Partial<FakeEdgeOptions> = {}): Promise<FakeEdge> {
    const edge = new FakeEdge({ connect: this.network.connect, now: () => this.time.now(), ...options })
    const opening = edge.open()
    await this.time.advance(1)
    return opening
  }

  async close(): Promise<void> {
    const closing = this.opened.map(ingest => ingest.close())
    await this.time.advance(10_000)
    await Promise.all(closing)
  }
}
