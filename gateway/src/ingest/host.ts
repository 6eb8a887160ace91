import { type AlarmLimits, formatAlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import { formatConfirm, metricNames } from '@penstock/core/delivery/wire.ts'
import type { Cancel, Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { ConnectLink, Link } from '@penstock/core/runtime/link.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import { type Attempted, type Supervisor, supervise } from '@penstock/core/runtime/supervisor.ts'
import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import type { SparkplugType } from '@penstock/core/sparkplug/datatypes.ts'
import type { Payload } from '@penstock/core/sparkplug/payload.ts'
import { formatState, parseState } from '@penstock/core/sparkplug/state.ts'
import { groupFilter, nodeTopic, parseTopic, stateTopic } from '@penstock/core/sparkplug/topics.ts'
import { birthMetric } from '@penstock/core/sparkplug/values.ts'
import type { LiveTable } from '../live/live-table.ts'
import { EdgeIntake, type EdgeVerb, type IntakeContext } from './accept.ts'
import type { BoundedLog } from './bounded-log.ts'
import type { Identity } from './identity.ts'
import type { Inbox } from './inbox.ts'
import type { Instant } from './instant.ts'
import { OwnState } from './own-state.ts'
import type { EdgeKey } from './record.ts'

/** The limits of the alarm rules of an edge's tags, which no deadband may hide; null: no rule reads any of them. */
export interface AlarmInputs {
  limitsFor(edge: EdgeKey): { readonly hash: string; readonly limits: AlarmLimits } | null
  /** whether a rule reads the tag: its live values then go through the inbox */
  readsLive(tag: string): boolean
}

export interface HostOptions {
  readonly hostId: string
  readonly groups: readonly string[]
  readonly identity: Identity
  readonly inbox: Inbox
  readonly live: LiveTable
  readonly context: IntakeContext
  readonly limits: AlarmInputs
  readonly connect: ConnectLink
  readonly clock: Clock
  readonly ticker: Ticker
  readonly random: () => number
  readonly log: Logger
  readonly bounded: BoundedLog
}

export interface HostStatus {
  /** connected, subscribed and STATE online published */
  readonly online: boolean
  readonly link: Supervisor['state']
  readonly lastProblem: string | null
  /** another gateway runs under this host id: nothing is confirmed */
  readonly contested: boolean
}

/** Nodes that nobody registered and that are shown all the same; more are only counted. */
const maxUnknown = 1_000
const longestTopic = 400
const limitsMs = 10_000
const sweepMs = 1_000
/** Things that fall due within this time are done together. */
const coalesceMs = 10
const backoff = { minMs: 500, maxMs: 15_000, stableMs: 10_000 }

/** The Sparkplug host application: one connection, STATE, every message to its edge, commands back (delivery protocol, rules 13 to 16). */
export class Host {
  readonly #options: HostOptions
  readonly #edges = new Map<EdgeKey, EdgeIntake>()
  readonly #groups: ReadonlySet<string>
  readonly #stateTopic: string
  readonly #ownState = new OwnState()
  readonly #waiting = new Set<EdgeIntake>()
  readonly #limitsSentAt = new Map<EdgeKey, number>()
  #unknown = 0
  #link: Link | null = null
  #online = false
  #timestamp = 0
  #atLeast = 0
  #supervisor: Supervisor | null = null
  #takesIn = true
  #hadRoom = true
  #cancelTimer: Cancel | undefined
  #timerDue = Number.POSITIVE_INFINITY
  #nextSweep = 0
  #stopping = false
  #closing: Promise<void> | undefined

  constructor(options: HostOptions) {
    this.#options = options
    this.#groups = new Set(options.groups)
    this.#stateTopic = stateTopic(options.hostId)
  }

  /** Edges of the inbox are there from the start; the connection comes by itself. */
  start(): void {
    const { inbox, ticker, random, log } = this.#options
    for (const edge of inbox.positions.edges().keys()) {
      const [group = '', id = ''] = edge.split('/')
      if (this.#groups.has(group)) this.#intake(group, id)
    }
    inbox.onCommit(() => this.#committed())
    this.#nextSweep = ticker.now() + sweepMs
    this.#supervisor = supervise({
      name: 'broker',
      attempt: signal => this.#connect(signal),
      backoff,
      ticker,
      random,
      log,
    })
    this.#schedule()
  }

  status(): HostStatus {
    return {
      online: this.#online,
      link: this.#supervisor?.state ?? 'closed',
      lastProblem: this.#supervisor?.lastProblem ?? null,
      contested: this.#ownState.isContested,
    }
  }

  edges(): IterableIterator<EdgeIntake> {
    return this.#edges.values()
  }

  edge(edge: EdgeKey): EdgeIntake | undefined {
    return this.#edges.get(edge)
  }

  /** The registry changed: judges every edge once more. */
  reconsider(): void {
    const at = this.#at()
    for (const intake of this.#edges.values()) {
      intake.reconsider(at)
      this.#serve(intake, at)
    }
    this.#schedule()
  }

  /** After this nothing more is taken in; what was goes on to be confirmed. */
  stopIntake(): void {
    this.#takesIn = false
  }

  /** Confirms to every edge what is committed. */
  confirmAll(): void {
    const at = this.#at()
    for (const intake of this.#edges.values()) this.#confirm(intake, { now: at.now, tick: Number.MAX_SAFE_INTEGER }, at)
  }

  /** STATE offline, DISCONNECT. Idempotent. */
  close(): Promise<void> {
    this.#stopping = true
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Every message of the broker, in order of arrival. Never throws. */
  readonly message = (topic: string, payload: Uint8Array, flags: { retain: boolean }): void => {
    const { bounded, context } = this.#options
    const { counters } = context
    counters.messages++
    try {
      const stray = this.#take(topic, payload, flags.retain)
      if (stray === null) return
      counters.strayMessages++
      bounded.note('stray', topic, stray)
    } catch (error) {
      if (error instanceof PenstockError) {
        counters.malformed++
        bounded.note('malformed', topic, error.message)
      } else {
        counters.unexpected++
        bounded.note('unexpected', topic, error instanceof Error ? (error.stack ?? error.message) : String(error))
      }
    }
  }

  /** Why the message is none of ours; null: it is. */
  #take(topic: string, payload: Uint8Array, retained: boolean): string | null {
    const parsed = parseTopic(topic)
    if (!parsed) return 'not a topic of Sparkplug B'
    if (parsed.kind === 'state') return topic === this.#stateTopic ? this.#heardState(payload, retained) : null
    const { group, edge: id, verb } = parsed
    if (!this.#takesIn || verb === 'NCMD' || verb === 'DCMD') return null
    if (retained) return 'retained, so nobody knows how old it is'
    if (!this.#groups.has(group)) return 'another group'
    if (topic.length > longestTopic) return 'too long'
    const decoded = decodePayload(payload)
    const intake = this.#intake(group, id)
    if (!intake) return 'too many unknown edges'
    this.#deliver(intake, verb, parsed.kind === 'device' ? parsed.device : null, decoded)
    return null
  }

  #deliver(intake: EdgeIntake, verb: EdgeVerb, device: string | null, payload: Payload): void {
    const at = this.#at()
    intake.message(verb, device, payload, at)
    if (intake.waitsForCommit) this.#waiting.add(intake)
    this.#serve(intake, at)
    if (verb === 'NBIRTH') this.#sendLimits(intake, at)
    this.#wake(this.#dueAt(intake))
  }

  #intake(group: string, id: string): EdgeIntake | null {
    const key = `${group}/${id}`
    const known = this.#edges.get(key)
    if (known) return known
    const { context } = this.#options
    if (!context.admission.isRegistered(group, id)) {
      if (this.#unknown >= maxUnknown) return null
      this.#unknown++
    }
    const intake = new EdgeIntake(group, id, context, this.#at())
    this.#edges.set(key, intake)
    return intake
  }

  async #connect(signal: AbortSignal): Promise<Attempted> {
    const { hostId, groups, identity, connect, clock, ticker, context, log } = this.#options
    const saved = identity.nextTimestamp(hostId, clock.now(), this.#atLeast)
    await saved.catch(error => log.warn({ err: error }, 'the timestamp of STATE could not be saved'))
    this.#timestamp = identity.issued(hostId).at(-1) ?? clock.now()
    this.#ownState.connected(this.#timestamp, identity.issued(hostId))
    const will = { topic: this.#stateTopic, payload: this.#state(false), qos: 1, retain: true } as const
    const link = await connect({
      clientId: `${hostId}-${identity.ledger.slice(0, 8)}`,
      will,
      onMessage: this.message,
      signal,
    })
    this.#link = link
    context.counters.connections++
    try {
      // Own STATE before anything is said (tck-id-message-flow-phid-sparkplug-subscription).
      await link.subscribe([this.#stateTopic, ...groups.map(groupFilter)], 1)
      await link.publishConfirmed(this.#stateTopic, this.#state(true), { retain: true })
    } catch (error) {
      this.#lost(link)
      await link.close()
      throw error
    }
    if (this.#link === link) {
      this.#online = true
      log.info({ hostId, timestamp: this.#timestamp }, 'online')
      const at = { now: clock.now(), tick: ticker.now() }
      for (const intake of this.#edges.values()) intake.hostOnline(at)
      this.#schedule()
    }
    const ended = link.ended.then(reason => {
      this.#lost(link)
      return reason
    })
    return { ended, close: () => this.#goodbye(link) }
  }

  #lost(link: Link): void {
    if (this.#link !== link) return
    this.#link = null
    this.#online = false
    const at = this.#at()
    for (const intake of this.#edges.values()) intake.linkLost(at)
    this.#schedule()
  }

  /** Clean stop (tck-id-operational-behavior-host-application-termination): STATE offline with the time of now. */
  async #goodbye(link: Link): Promise<void> {
    const { hostId, identity, clock, log } = this.#options
    if (this.#online && this.#stopping) {
      const saved = identity.nextTimestamp(hostId, clock.now(), this.#timestamp)
      await saved.catch(error => log.warn({ err: error }, 'the timestamp of STATE could not be saved'))
      const timestamp = identity.issued(hostId).at(-1) ?? this.#timestamp
      this.#ownState.connected(timestamp, identity.issued(hostId))
      this.#online = false
      const said = link.publishConfirmed(this.#stateTopic, formatState({ online: false, timestamp }), { retain: true })
      await said.catch(error => log.warn({ err: error }, 'STATE offline was not published'))
    }
    await link.close()
  }

  async #close(): Promise<void> {
    this.#takesIn = false
    this.#cancelTimer?.()
    await this.#supervisor?.close()
  }

  #heardState(payload: Uint8Array, retained: boolean): string | null {
    const state = parseState(payload)
    const link = this.#link
    if (!state) return 'not a STATE'
    if (!link || this.#stopping) return null
    const contested = this.#ownState.isContested
    const answer = this.#ownState.heard(state, retained, this.#options.ticker.now())
    if (answer === 'reconnect') {
      this.#atLeast = state.timestamp + 1
      this.#options.log.warn(
        { ...state, own: this.#timestamp },
        'STATE carries a later time than ours; connecting again with a larger one',
      )
      void link.close()
    } else if (answer === 'republish' && this.#online) {
      this.#publishState(link)
    }
    if (this.#ownState.isContested !== contested) {
      const { hostId, log } = this.#options
      if (contested) log.info({ hostId }, 'the other gateway under this host id is gone')
      else
        log.error(
          { hostId, timestamp: state.timestamp },
          'another gateway runs under this host id; nothing is confirmed until it is stopped',
        )
    }
    this.#schedule()
    return null
  }

  #publishState(link: Link): void {
    link.publishConfirmed(this.#stateTopic, this.#state(true), { retain: true }).catch(() => {
      // The connection has ended; the supervisor sees that too.
    })
  }

  #state(online: boolean): Uint8Array {
    return formatState({ online, timestamp: this.#timestamp })
  }

  #committed(): void {
    const at = this.#at()
    for (const intake of this.#waiting) {
      intake.committed(at)
      if (!intake.waitsForCommit) this.#waiting.delete(intake)
      this.#confirm(intake, at, at)
    }
    const room = this.#options.inbox.takesBatches
    if (room && !this.#hadRoom) for (const intake of this.#edges.values()) intake.roomAgain(at)
    this.#hadRoom = room
    this.#schedule()
  }

  /** Machine time of the next confirmation to an edge; Infinity while none may be sent. */
  #confirmAt(intake: EdgeIntake): number {
    return this.#online && !this.#ownState.isContested ? intake.confirmAt : forever
  }

  /** Machine time at which `#serve` has something to do. Requests wait for the connection. */
  #dueAt(intake: EdgeIntake): number {
    return Math.min(intake.dueAt, this.#online ? intake.rebirthAt : forever, this.#confirmAt(intake))
  }

  /** Does what is due for one edge. */
  #serve(intake: EdgeIntake, at: Instant): void {
    if (intake.dueAt <= at.tick) intake.run(at)
    const reason = this.#online ? intake.takeRebirth(at) : null
    if (reason !== null) {
      this.#options.log.info({ edge: intake.edge, reason }, 'requesting a rebirth')
      this.#command(intake, metricNames.rebirth, 'Boolean', true, at)
    }
    this.#confirm(intake, at, at)
  }

  /** The alarm limits of an edge, every 10 s until it says that it has them. */
  #sendLimits(intake: EdgeIntake, at: Instant): void {
    if (!this.#online || intake.isRefused || intake.limitsHash === null) return
    const wanted = this.#options.limits.limitsFor(intake.edge)
    if (!wanted || wanted.hash === intake.limitsHash) return
    if (at.tick - (this.#limitsSentAt.get(intake.edge) ?? Number.NEGATIVE_INFINITY) < limitsMs) return
    this.#limitsSentAt.set(intake.edge, at.tick)
    this.#options.context.counters.limitCommands++
    this.#command(intake, metricNames.alarmLimits, 'String', formatAlarmLimits(wanted.limits), at)
  }

  #confirm(intake: EdgeIntake, due: Instant, at: Instant): void {
    if (this.#confirmAt(intake) > due.tick) return
    const { hostId, identity, context } = this.#options
    const confirm = intake.takeConfirm({ now: at.now, tick: due.tick })
    if (!confirm) return
    context.counters.confirmations++
    const text = formatConfirm({ host: hostId, ledger: identity.ledger, ...confirm })
    this.#command(intake, metricNames.confirm, 'String', text, at)
  }

  /** NCMD by name, QoS 0, not retained, without sequence number (tck-id-payloads-ncmd-seq, -qos, -retain, -timestamp). */
  #command(intake: EdgeIntake, name: string, type: SparkplugType, value: string | boolean, { now }: Instant): void {
    const metrics = [birthMetric(type, value, { name, timestamp: now })]
    const payload = encodePayload({ timestamp: now, metrics })
    this.#link?.publish(nodeTopic(intake.group, 'NCMD', intake.id), payload, { qos: 0, retain: false })
  }

  /** Everything that time brings. */
  #run(): void {
    const at = this.#at()
    for (const intake of this.#edges.values()) this.#serve(intake, at)
    if (at.tick >= this.#nextSweep) {
      this.#nextSweep = at.tick + sweepMs
      this.#options.live.sweep(at.now)
      for (const intake of this.#edges.values()) this.#sendLimits(intake, at)
    }
    if (this.#ownState.probe(at.tick) && this.#link && this.#online) this.#publishState(this.#link)
    this.#schedule()
  }

  /** Sets the timer to what is due first. */
  #schedule(): void {
    let due = Math.min(this.#nextSweep, this.#ownState.dueAt)
    for (const intake of this.#edges.values()) due = Math.min(due, this.#dueAt(intake))
    this.#wake(due)
  }

  /** One timer for everything: at `due`, or earlier if it is set so. */
  #wake(due: number): void {
    if (due >= this.#timerDue || this.#stopping) return
    const { ticker } = this.#options
    const now = ticker.now()
    this.#cancelTimer?.()
    this.#timerDue = Math.max(due, now + coalesceMs)
    this.#cancelTimer = ticker.after(this.#timerDue - now, () => {
      this.#timerDue = forever
      this.#run()
    })
  }

  #at(): Instant {
    return { now: this.#options.clock.now(), tick: this.#options.ticker.now() }
  }
}

const forever = Number.POSITIVE_INFINITY
