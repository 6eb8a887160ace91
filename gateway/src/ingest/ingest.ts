import type { Reading } from '@penstock/core/reading.ts'
import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { ConnectLink } from '@penstock/core/runtime/link.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { Consumer, InboxWriter } from '../consumer.ts'
import { ConsumerRunner, type ConsumerStatus } from '../consumer-runner.ts'
import type { LiveTable } from '../live/live-table.ts'
import type { LiveEdge } from '../live/table.ts'
import type { EdgeRegistry } from '../registry/registry.ts'
import { Admission } from './admission.ts'
import type { DeliveryRules } from './batch-lane.ts'
import { BoundedLog } from './bounded-log.ts'
import { type IngestCounters, newCounters } from './counters.ts'
import type { IntakeContext } from './edge-state.ts'
import { type AlarmInputs, Host } from './host.ts'
import type { HostStatus } from './host-connection.ts'
import { Identity } from './identity.ts'
import { Inbox, type InboxState } from './inbox.ts'
import type { EdgeKey } from './record.ts'

export interface IngestConfig {
  readonly hostId: string
  readonly groups: readonly string[]
  /** reorder time-out, ms; default 2 s (delivery protocol, rule 14) */
  readonly reorderMs?: number
  /** folder of the inbox and of the gateway's identity */
  readonly folder: string
  readonly segmentBytes: number
  readonly maxBytes: number
  /** see `InboxOptions` */
  readonly keepBytes?: number
  readonly reserveBytes?: number
  readonly recentBytes?: number
}

export interface IngestOptions {
  readonly config: IngestConfig
  readonly files: FileLayer
  readonly clock: Clock
  readonly ticker: Ticker
  readonly connect: ConnectLink
  readonly log: Logger
  readonly registry: EdgeRegistry
  /** in the order in which they get each record */
  readonly consumers: readonly Consumer[]
  readonly live: LiveTable
  /** 0 ≤ random() < 1 */
  readonly random: () => number
  readonly limits: AlarmInputs
  /** values as they come, before they are committed */
  readonly onLive?: (edge: EdgeKey, readings: readonly Reading[], receivedAt: number) => void
  /** the ledger of a new store; default: a random UUID */
  readonly newLedger?: () => string
  /** for tests of the protocol: what happens without a rule */
  readonly rules?: DeliveryRules
}

export interface IngestStatus {
  readonly host: HostStatus & { readonly hostId: string; readonly ledger: string }
  readonly inbox: {
    readonly state: InboxState
    readonly first: number
    readonly end: number
    readonly durableEnd: number
    readonly bytes: number
    readonly counters: Readonly<Inbox['counters']>
  }
  readonly consumers: readonly ConsumerStatus[]
  readonly counters: Readonly<IngestCounters>
}

/**
 * The gateway's side of the delivery protocol, from the broker to the inbox and on to the consumers. Order of the start: positions
 * folded from the inbox, consumers at its end, only then the connection (rule 13).
 */
export class Ingest {
  readonly writer: InboxWriter
  readonly runner: ConsumerRunner
  readonly #options: IngestOptions
  readonly #inbox: Inbox
  readonly #identity: Identity
  readonly #host: Host
  readonly #counters: IngestCounters
  #closing: Promise<void> | undefined

  private constructor(
    options: IngestOptions,
    parts: { inbox: Inbox; identity: Identity; host: Host; runner: ConsumerRunner; counters: IngestCounters },
  ) {
    this.#options = options
    this.#inbox = parts.inbox
    this.#identity = parts.identity
    this.#host = parts.host
    this.#counters = parts.counters
    this.runner = parts.runner
    this.writer = parts.inbox
  }

  /** @throws PenstockError `disk-failed` when the folder cannot be used; Error when the identity is damaged */
  static async open(options: IngestOptions): Promise<Ingest> {
    const { config, files, ticker, log, registry, consumers, live, limits, onLive = () => {}, rules = {} } = options
    const identity = await Identity.open(config.folder, files, options.newLedger)
    const atLeast = Math.max(0, ...consumers.map(({ cursor, reach }) => reach ?? cursor))
    const inbox = await Inbox.open({ ...config, folder: `${config.folder}/inbox`, files, ticker, log, atLeast })
    const runner = new ConsumerRunner({ inbox, consumers, ticker, log })
    await runner.start()
    const counters = newCounters()
    const bounded = new BoundedLog(log, ticker)
    const context: IntakeContext = {
      inbox,
      live,
      admission: new Admission(registry, inbox.positions),
      counters,
      rules,
      ledger: identity.ledger,
      reorderMs: config.reorderMs ?? 2_000,
      readsLive: tag => limits.readsLive(tag),
      onLive,
      note: (kind, place, what) => bounded.note(kind, place, what),
    }
    const { hostId, groups } = config
    const host = new Host({ ...options, hostId, groups, identity, inbox, context, bounded })
    host.start()
    return new Ingest(options, { inbox, identity, host, runner, counters })
  }

  status(): IngestStatus {
    const { state, first, end, durableEnd, bytes, counters } = this.#inbox
    return {
      host: { ...this.#host.status(), hostId: this.#options.config.hostId, ledger: this.#identity.ledger },
      inbox: { state, first, end, durableEnd, bytes, counters },
      consumers: this.runner.status(),
      counters: this.#counters,
    }
  }

  /** Every edge that was ever seen or delivered, registered or not. */
  edges(): LiveEdge[] {
    const { contested } = this.#host.status()
    const full = this.#inbox.state !== 'ok'
    return [...this.#host.edges()].map(intake => {
      const view = intake.view()
      const ours = contested ? 'another-gateway' : full ? 'storage-full' : null
      return view.problem === null && view.online ? { ...view, problem: ours } : view
    })
  }

  /**
   * Takes in an edge that nobody registered, or another box in the place of a known one: its hardware id is bound, its data
   * confirmed from now on. `hardwareId`: the one that whoever adopts has seen. Resolves when that is durable.
   * @throws PenstockError `edge-unknown` | `edge-changed`, or what the inbox throws
   */
  async adopt(edge: EdgeKey, hardwareId?: string | null): Promise<void> {
    const intake = this.#host.edge(edge)
    if (!intake) throw new PenstockError('edge-unknown', { edge })
    const seen = intake.view().hardwareId
    if (hardwareId !== undefined && hardwareId !== seen)
      throw new PenstockError('edge-changed', { edge, hardwareId: seen })
    this.#inbox.append({ kind: 'edge', edge, event: 'adopted', device: null, tags: [], at: this.#options.clock.now() })
    await this.#inbox.commit()
    intake.adopt({ now: this.#options.clock.now(), tick: this.#options.ticker.now() })
    this.#host.reconsider()
  }

  /** The registry was loaded anew. */
  registryChanged(): void {
    this.#host.reconsider()
  }

  /** Stop of rule 18: no more intake, commit, confirm, consumers to the end and flushed, STATE offline, disconnect. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { log } = this.#options
    this.#host.stopIntake()
    await this.#inbox.commit().catch(error => log.error({ err: error }, 'not everything was committed'))
    this.#host.confirmAll()
    await this.runner.close()
    await this.#host.close()
    await this.#inbox.close()
  }
}

/** See `Ingest`. */
export const openIngest = (options: IngestOptions): Promise<Ingest> => Ingest.open(options)
