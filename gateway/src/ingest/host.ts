import { type AlarmLimits, formatAlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import { formatConfirm, metricNames } from '@penstock/core/delivery/wire.ts'
import type { Cancel } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import type { SparkplugType } from '@penstock/core/sparkplug/datatypes.ts'
import type { Payload } from '@penstock/core/sparkplug/payload.ts'
import { nodeTopic, parseTopic } from '@penstock/core/sparkplug/topics.ts'
import { birthMetric } from '@penstock/core/sparkplug/values.ts'
import type { LiveTable } from '../live/live-table.ts'
import { EdgeIntake } from './accept.ts'
import type { BoundedLog } from './bounded-log.ts'
import type { EdgeVerb, IntakeContext } from './edge-state.ts'
import { HostConnection, type HostConnectionOptions, type HostStatus } from './host-connection.ts'
import type { Inbox } from './inbox.ts'
import type { Instant } from './instant.ts'
import type { EdgeKey } from './record.ts'

/** The limits of the alarm rules of an edge's tags, which no deadband may hide; null: no rule reads any of them. */
export interface AlarmInputs {
  limitsFor(edge: EdgeKey): { readonly hash: string; readonly limits: AlarmLimits } | null
  /** whether a rule reads the tag: its live values then go through the inbox */
  readsLive(tag: string): boolean
}

export interface HostOptions extends HostConnectionOptions {
  readonly inbox: Inbox
  readonly live: LiveTable
  readonly context: IntakeContext
  readonly limits: AlarmInputs
  readonly bounded: BoundedLog
}

/** Nodes that nobody registered and that are shown all the same; more are only counted. */
const maxUnknown = 1_000
const longestTopic = 400
const limitsMs = 10_000
const sweepMs = 1_000
/** Things that fall due within this time are done together. */
const coalesceMs = 10

/** The Sparkplug host application: every message to its edge, commands back, and what time brings (delivery protocol, rules 13 to 16). */
export class Host {
  readonly #options: HostOptions
  readonly #edges = new Map<EdgeKey, EdgeIntake>()
  readonly #groups: ReadonlySet<string>
  readonly #connection: HostConnection
  readonly #waiting = new Set<EdgeIntake>()
  readonly #limitsSentAt = new Map<EdgeKey, number>()
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
    this.#connection = new HostConnection(options, {
      onMessage: (topic, payload, flags) => this.message(topic, payload, flags),
      onOnline: () => this.#onOnline(),
      onLost: () => this.#onLost(),
    })
  }

  /** Edges of the inbox are there from the start; the connection comes by itself. */
  start(): void {
    const { inbox, ticker } = this.#options
    for (const edge of inbox.positions.edges().keys()) {
      const [group = '', id = ''] = edge.split('/')
      if (this.#groups.has(group)) this.#intake(group, id)
    }
    inbox.onCommit(() => this.#committed())
    this.#nextSweep = ticker.now() + sweepMs
    this.#connection.start()
    this.#schedule()
  }

  status(): HostStatus {
    return this.#connection.status()
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
    this.#takesIn = false
    this.#stopping = true
    this.#cancelTimer?.()
    this.#closing ??= this.#connection.close()
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
    if (parsed.kind === 'state') return topic === this.#connection.topic ? this.#heardState(payload, retained) : null
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
    if (!this.#options.inbox.takesBatches) this.#hadRoom = false
    this.#serve(intake, at)
    if (verb === 'NBIRTH') this.#sendLimits(intake, at)
    this.#wake(this.#dueAt(intake))
  }

  #intake(group: string, id: string): EdgeIntake | null {
    const key = `${group}/${id}`
    const known = this.#edges.get(key)
    if (known) return known
    const { context } = this.#options
    if (!context.admission.isRegistered(group, id) && !this.#roomForUnknown()) return null
    const intake = new EdgeIntake(group, id, context, this.#at())
    this.#edges.set(key, intake)
    return intake
  }

  /** One that is gone makes room for a new one. */
  #roomForUnknown(): boolean {
    const { admission } = this.#options.context
    const unknown = [...this.#edges.values()].filter(({ group, id }) => !admission.isRegistered(group, id))
    if (unknown.length < maxUnknown) return true
    const gone = unknown.find(intake => !intake.isBorn)
    return gone !== undefined && this.#edges.delete(gone.edge)
  }

  #heardState(payload: Uint8Array, retained: boolean): string | null {
    const problem = this.#connection.heardState(payload, retained)
    this.#schedule()
    return problem
  }

  #onOnline(): void {
    this.#options.context.counters.connections++
    const at = this.#at()
    for (const intake of this.#edges.values()) intake.hostOnline(at)
    this.#schedule()
  }

  #onLost(): void {
    const at = this.#at()
    for (const intake of this.#edges.values()) intake.linkLost(at)
    this.#schedule()
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

  /** Machine time of the next confirmation to an edge; Infinity while none may be sent, also for want of room (rule 18). */
  #confirmAt(intake: EdgeIntake): number {
    const { isOnline, isContested } = this.#connection
    return isOnline && !isContested && this.#options.inbox.takesBatches ? intake.confirmAt : forever
  }

  /** Machine time at which `#serve` has something to do. Requests wait for the connection. */
  #dueAt(intake: EdgeIntake): number {
    return Math.min(intake.dueAt, this.#connection.isOnline ? intake.rebirthAt : forever, this.#confirmAt(intake))
  }

  /** Does what is due for one edge. */
  #serve(intake: EdgeIntake, at: Instant): void {
    if (intake.dueAt <= at.tick) intake.run(at)
    const reason = this.#connection.isOnline ? intake.takeRebirth(at) : null
    if (reason !== null) {
      this.#options.log.info({ edge: intake.edge, reason }, 'requesting a rebirth')
      this.#command(intake, metricNames.rebirth, 'Boolean', true, at)
    }
    this.#confirm(intake, at, at)
  }

  /** The alarm limits of an edge, every 10 s until it says that it has them. */
  #sendLimits(intake: EdgeIntake, at: Instant): void {
    if (!this.#connection.isOnline || intake.isRefused || intake.limitsHash === null) return
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
    this.#connection.publish(nodeTopic(intake.group, 'NCMD', intake.id), payload)
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
    this.#connection.probe(at.tick)
    this.#schedule()
  }

  /** Sets the timer to what is due first. */
  #schedule(): void {
    let due = Math.min(this.#nextSweep, this.#connection.dueAt)
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
