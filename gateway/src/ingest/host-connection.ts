import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import type { ConnectLink, Link, LinkOptions } from '@penstock/core/runtime/link.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import { type Attempted, type Supervisor, supervise } from '@penstock/core/runtime/supervisor.ts'
import { formatState, parseState } from '@penstock/core/sparkplug/state.ts'
import { groupFilter, stateTopic } from '@penstock/core/sparkplug/topics.ts'
import type { Identity } from './identity.ts'
import { OwnState } from './own-state.ts'

export interface HostConnectionOptions {
  readonly hostId: string
  readonly groups: readonly string[]
  readonly identity: Identity
  readonly connect: ConnectLink
  readonly clock: Clock
  readonly ticker: Ticker
  /** 0 ≤ random() < 1 */
  readonly random: () => number
  readonly log: Logger
}

export interface HostConnectionEvents {
  readonly onMessage: LinkOptions['onMessage']
  /** connected, subscribed, STATE online published */
  readonly onOnline: () => void
  readonly onLost: () => void
}

export interface HostStatus {
  /** connected, subscribed and STATE online published */
  readonly online: boolean
  readonly link: Supervisor['state']
  readonly lastProblem: string | null
  /** another gateway runs under this host id: nothing is confirmed */
  readonly contested: boolean
}

const backoff = { minMs: 500, maxMs: 15_000, stableMs: 10_000 }

/** The host application's connection to the broker, with its STATE as birth and will (delivery protocol, rule 13). */
export class HostConnection {
  /** of the host's STATE */
  readonly topic: string
  readonly #options: HostConnectionOptions
  readonly #events: HostConnectionEvents
  readonly #ownState = new OwnState()
  #link: Link | null = null
  #online = false
  #timestamp = 0
  #atLeast = 0
  #stopping = false
  #supervisor: Supervisor | null = null

  constructor(options: HostConnectionOptions, events: HostConnectionEvents) {
    this.#options = options
    this.#events = events
    this.topic = stateTopic(options.hostId)
  }

  start(): void {
    const { ticker, random, log } = this.#options
    const attempt = (signal: AbortSignal) => this.#connect(signal)
    this.#supervisor = supervise({ name: 'broker', attempt, backoff, ticker, random, log })
  }

  get isOnline(): boolean {
    return this.#online
  }

  get isContested(): boolean {
    return this.#ownState.isContested
  }

  /** Machine time at which `probe` has something to do. */
  get dueAt(): number {
    return this.#ownState.dueAt
  }

  status(): HostStatus {
    return {
      online: this.#online,
      link: this.#supervisor?.state ?? 'closed',
      lastProblem: this.#supervisor?.lastProblem ?? null,
      contested: this.isContested,
    }
  }

  /** QoS 0, not retained. Nothing happens while there is no connection. */
  publish(topic: string, payload: Uint8Array): void {
    this.#link?.publish(topic, payload, { qos: 0, retain: false })
  }

  /** A message on the own STATE topic. Returns what is wrong with it, or null. */
  heardState(payload: Uint8Array, retained: boolean): string | null {
    const { log, hostId, ticker } = this.#options
    const state = parseState(payload)
    if (!state) return 'not a STATE'
    const link = this.#link
    if (!link || this.#stopping) return null
    const contested = this.isContested
    const answer = this.#ownState.heard(state, retained, ticker.now())
    if (answer === 'reconnect') {
      this.#atLeast = state.timestamp + 1
      log.warn({ ...state, own: this.#timestamp }, 'STATE carries a later time than ours; connecting again')
      void link.close()
    } else if (answer === 'republish' && this.#online) this.#say(link)
    if (contested && !this.isContested) log.info({ hostId }, 'the other gateway under this host id is gone')
    if (!contested && this.isContested) {
      log.error(
        { hostId, ...state },
        'another gateway runs under this host id; nothing is confirmed until it is stopped',
      )
    }
    return null
  }

  /** Asks another gateway under the same host id, if one was heard, whether it is still there. */
  probe(tick: number): void {
    if (this.#ownState.probe(tick) && this.#link && this.#online) this.#say(this.#link)
  }

  /** STATE offline, DISCONNECT, and no connection any more. */
  async close(): Promise<void> {
    this.#stopping = true
    await this.#supervisor?.close()
  }

  async #connect(signal: AbortSignal): Promise<Attempted> {
    const { hostId, groups, identity, connect, log } = this.#options
    this.#timestamp = await this.#issue(this.#atLeast)
    const will = { topic: this.topic, payload: this.#state(false), qos: 1, retain: true } as const
    const { onMessage, onOnline } = this.#events
    const link = await connect({ clientId: `${hostId}-${identity.ledger.slice(0, 8)}`, will, onMessage, signal })
    this.#link = link
    try {
      // Own STATE before anything is said (tck-id-message-flow-phid-sparkplug-subscription).
      await link.subscribe([this.topic, ...groups.map(groupFilter)], 1)
      await link.publishConfirmed(this.topic, this.#state(true), { retain: true })
    } catch (error) {
      this.#lost(link)
      await link.close()
      throw error
    }
    if (this.#link === link) {
      this.#online = true
      log.info({ hostId, timestamp: this.#timestamp }, 'online')
      onOnline()
    }
    const ended = link.ended.then(reason => {
      this.#lost(link)
      return reason
    })
    return { ended, close: () => this.#goodbye(link) }
  }

  /** A new timestamp for STATE. One that cannot be saved is used all the same: a full disk must not cut the gateway off. */
  async #issue(atLeast: number): Promise<number> {
    const { hostId, identity, clock, log } = this.#options
    try {
      await identity.nextTimestamp(hostId, clock.now(), atLeast)
    } catch (error) {
      log.warn({ err: error }, 'the timestamp of STATE could not be saved')
    }
    const issued = identity.issued(hostId)
    const timestamp = issued.at(-1) ?? clock.now()
    this.#ownState.connected(timestamp, issued)
    return timestamp
  }

  #lost(link: Link): void {
    if (this.#link !== link) return
    this.#link = null
    this.#online = false
    this.#events.onLost()
  }

  /** Clean stop (tck-id-operational-behavior-host-application-termination): STATE offline with the time of now. */
  async #goodbye(link: Link): Promise<void> {
    if (this.#online && this.#stopping) {
      this.#online = false
      const timestamp = await this.#issue(this.#timestamp)
      const said = link.publishConfirmed(this.topic, formatState({ online: false, timestamp }), { retain: true })
      await said.catch(error => this.#options.log.warn({ err: error }, 'STATE offline was not published'))
    }
    await link.close()
  }

  #say(link: Link): void {
    link.publishConfirmed(this.topic, this.#state(true), { retain: true }).catch(() => {
      // The connection has ended; the supervisor sees that too.
    })
  }

  #state(online: boolean): Uint8Array {
    return formatState({ online, timestamp: this.#timestamp })
  }
}
