import { type Confirm, metricNames } from '@penstock/core/delivery/wire.ts'
import { type DeliveryClass, deliveryClasses } from '@penstock/core/reading.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { Payload } from '@penstock/core/sparkplug/payload.ts'
import type { LiveEdge } from '../live/table.ts'
import { BatchLane } from './batch-lane.ts'
import { countOf, readNodeBirth } from './births.ts'
import { ConfirmPolicy } from './confirm.ts'
import { EdgeState, type EdgeVerb, type IntakeContext } from './edge-state.ts'
import type { Instant } from './instant.ts'
import type { EdgeKey } from './record.ts'
import { Session } from './session.ts'
import { SessionIntake } from './session-intake.ts'

/** After an NBIRTH its devices have this long to be born again. */
const birthsMs = 5_000
/** After the gateway's own connection was lost, an edge has this long to be born again before it counts as offline. */
const returnMs = 10_000
/** The same after a start, when the edges have yet to see the gateway's STATE. */
const startMs = 30_000

/**
 * One edge as the gateway sees it: births, deaths, sequence, batches, live copies. A synchronous state machine: `message`, `run`,
 * `committed` and a few more are its inputs, the inbox, the live table and what `takeRebirth` and `takeConfirm` return its outputs.
 */
export class EdgeIntake {
  readonly #context: IntakeContext
  readonly #state: EdgeState
  #intake: SessionIntake | null = null
  /** machine times of what happens by itself */
  #absentAt = forever
  #askBirthAt = forever
  #devicesAt = forever

  constructor(group: string, id: string, context: IntakeContext, at: Instant) {
    this.#context = context
    this.#state = new EdgeState(group, id, context, at.now)
  }

  get edge(): EdgeKey {
    return this.#state.edge
  }

  get group(): string {
    return this.#state.group
  }

  get id(): string {
    return this.#state.id
  }

  /** Machine time at which `run` has something to do. */
  get dueAt(): number {
    const session = this.#session
    const ofSession = session
      ? Math.min(session.lane?.dueAt ?? forever, session.sequence.gapSince + this.#context.reorderMs)
      : forever
    return Math.min(this.#absentAt, this.#askBirthAt, this.#devicesAt, ofSession)
  }

  /** Machine time at which a rebirth may be requested; Infinity: none is wanted. */
  get rebirthAt(): number {
    return this.#state.rebirth.dueAt
  }

  /** Machine time of the next confirmation; Infinity when none may be sent. */
  get confirmAt(): number {
    return this.#state.refusal === null && this.#session?.lane ? this.#session.confirm.dueAt : forever
  }

  get isRefused(): boolean {
    return this.#state.refusal !== null
  }

  get isBorn(): boolean {
    return this.#session !== null
  }

  /** Batches went into the inbox and are not committed yet. */
  get waitsForCommit(): boolean {
    return this.#state.waitsForCommit
  }

  /** Hash of the alarm limits that the edge uses; null: it does not speak of them. */
  get limitsHash(): string | null {
    return this.#session?.birth.delivery ? this.#state.limitsHash : null
  }

  message(verb: EdgeVerb, device: string | null, payload: Payload, at: Instant): void {
    try {
      if (verb === 'NBIRTH') this.#nodeBirth(payload, at)
      else if (verb === 'NDEATH') this.#nodeDeath(payload, at)
      else if (this.#intake) this.#intake.receive(verb, device, payload, at)
      else {
        this.#context.counters.beforeBirth++
        this.#state.rebirth.want('data before a birth')
      }
    } catch (error) {
      // The inbox refuses: nothing is confirmed, so the edge keeps what it sent.
      if (!(error instanceof PenstockError)) throw error
      this.#context.counters.refusedBatches++
    }
  }

  /** What falls due: held batches, gaps in the sequence, devices that were not born again, edges that did not come back. */
  run(at: Instant): void {
    const session = this.#session
    session?.lane?.expire(at.tick)
    if (session && at.tick - session.sequence.gapSince >= this.#context.reorderMs) {
      session.sequence.forget()
      this.#context.counters.gaps++
      this.#state.rebirth.want('messages are missing')
    }
    if (at.tick >= this.#devicesAt) {
      this.#devicesAt = forever
      for (const { device } of this.#state.presence.devices.values()) {
        if (!session?.born.has(device)) this.#state.presence.deviceOffline(device, at, !this.isRefused)
      }
    }
    if (at.tick >= this.#askBirthAt) {
      this.#askBirthAt = forever
      if (!session) this.#state.rebirth.want('not born since the gateway connected')
    }
    if (at.tick >= this.#absentAt) {
      this.#absentAt = forever
      if (!session) this.#gone(at)
    }
  }

  /** Why a rebirth is to be requested now; null: none is, or not yet. */
  takeRebirth(at: Instant): string | null {
    if (at.tick < this.#state.rebirth.dueAt) return null
    const { reason } = this.#state.rebirth
    this.#state.rebirth.asked(at.tick)
    this.#context.counters.rebirthRequests++
    return reason
  }

  /** What to confirm now, without host and ledger; null: nothing. */
  takeConfirm(at: Instant): Omit<Confirm, 'host' | 'ledger'> | null {
    const session = this.#session
    if (at.tick < this.confirmAt || !session?.lane || !session.birth.delivery) return null
    const { lane } = session
    const { epoch, session: number } = session.birth.delivery
    const tailOf = (name: DeliveryClass) => (this.#context.rules.tailCheck === false ? null : lane.committedTail(name))
    return {
      epoch,
      session: number,
      next: { alarm: lane.committedNext('alarm'), total: lane.committedNext('total'), raw: lane.committedNext('raw') },
      tail: { alarm: tailOf('alarm'), total: tailOf('total'), raw: tailOf('raw') },
      resend: session.confirm.sent(at.tick),
    }
  }

  /** The inbox was committed. */
  committed(at: Instant): void {
    this.#state.waitsForCommit = this.#session?.lane?.committed(at.tick) ?? false
  }

  /** Batches that were refused for want of room are welcome again. */
  roomAgain(at: Instant): void {
    for (const name of deliveryClasses) this.#session?.confirm.missing(name, at.tick)
  }

  /** The registry changed, or somebody adopted the edge: judges the birth once more. */
  reconsider(at: Instant): void {
    const session = this.#session
    if (!session) {
      this.#state.refusal = this.#state.isRegistered ? null : 'unknown-edge'
      return
    }
    const before = this.#state.refusal
    const { admission } = this.#context
    this.#state.refusal = admission.judge(this.group, this.id, session.birth)
    if (![...session.sites].every(site => admission.mayServe(this.group, site))) this.#state.refusal ??= 'foreign-site'
    if (this.#state.refusal !== null || before === null) return
    this.#state.presence.announce(session.born, at)
    session.confirm.at(at.tick)
  }

  /** Somebody vouches for the box that is there now. */
  adopt(at: Instant): void {
    const hardwareId = this.#session?.birth.hardwareId ?? this.#state.hardwareId
    if (hardwareId !== null) this.#context.admission.bind(this.edge, hardwareId)
    this.reconsider(at)
  }

  /** The gateway's connection to the broker ended: what the edge does now is not seen. */
  linkLost(at: Instant): void {
    if (!this.#state.presence.online) return
    this.#endSession()
    this.#absentAt = at.tick + returnMs
  }

  /** The gateway is online (again). An edge that was there before is expected to be born; silent ones are asked. */
  hostOnline(at: Instant): void {
    if (this.#session || !this.#state.presence.online) return
    this.#askBirthAt = at.tick + returnMs
    this.#absentAt = at.tick + startMs
  }

  view(): LiveEdge {
    const lane = this.#session?.lane
    const end = this.#session?.end
    const devices = [...this.#state.presence.devices.values()].map(device => ({ ...device }))
    const behind = (name: DeliveryClass) => Math.max(0, (end?.[name] ?? 0) - (lane?.committedNext(name) ?? 0))
    return {
      edge: this.edge,
      online: this.#state.presence.online,
      registered: this.#state.isRegistered,
      hardwareId: this.#state.hardwareId,
      software: this.#state.software,
      epoch: this.#state.epoch,
      since: this.#state.presence.since,
      skewMs: this.#state.skew.ms,
      backlog: lane ? { alarm: behind('alarm'), total: behind('total'), raw: behind('raw') } : null,
      lagMs: this.#state.lagMs,
      lostBatches: this.#context.inbox.positions.edge(this.edge)?.lost ?? 0,
      problem: this.#session || !this.#state.isRegistered ? (this.#state.refusal ?? this.#notObeyed) : null,
      devices,
    }
  }

  /** It belongs to another ledger: whatever we confirm, it keeps everything and sends no more than its window. */
  get #notObeyed(): 'not-obeyed' | null {
    const ledger = this.#session?.birth.ledger ?? null
    return ledger === null || ledger === this.#context.ledger ? null : 'not-obeyed'
  }

  get #session(): Session | null {
    return this.#intake?.session ?? null
  }

  #nodeBirth(payload: Payload, at: Instant): void {
    const { counters, admission, inbox, rules } = this.#context
    const birth = readNodeBirth(payload)
    if (!birth) {
      this.#state.malformed('NBIRTH', 'the delivery metrics of the birth make no sense')
      return
    }
    const { delivery } = birth
    const before = this.#session
    const repeated =
      before?.birth.delivery?.session === delivery?.session && before?.birth.delivery?.epoch === delivery?.epoch
    if (before && delivery && repeated && rules.sessionNumber !== false) {
      before.confirm.at(at.tick)
      return
    }
    counters.births++
    this.#endSession()
    const confirm = new ConfirmPolicy()
    const lane = delivery && new BatchLane(this.edge, delivery.epoch, inbox, counters, rules, confirm)
    const session = new Session(birth, at.tick, confirm, lane)
    const intake = new SessionIntake(session, this.#state, this.#context)
    this.#intake = intake
    this.#state.rebirth.born()
    this.#state.hardwareId = birth.hardwareId
    this.#state.software = birth.software
    this.#state.epoch = delivery?.epoch ?? null
    this.#state.limitsHash = birth.limitsHash ?? ''
    this.#absentAt = forever
    this.#askBirthAt = forever
    this.#devicesAt = at.tick + birthsMs
    this.#state.measureSkew(payload, at)
    this.#state.refusal = admission.judge(this.group, this.id, birth)
    this.#state.presence.edgeOnline(at)
    if (this.#state.refusal === null) this.#state.presence.announce([], at)
    intake.declareTags(null, payload, at)
    confirm.at(at.tick)
  }

  #nodeDeath(payload: Payload, at: Instant): void {
    const { counters } = this.#context
    const said = payload.metrics.find(({ name }) => name === metricNames.bdSeq)
    const bdSeq = countOf(said)
    const known = this.#session?.birth.bdSeq
    if (known !== undefined && known !== null && (bdSeq === null || BigInt(bdSeq) !== known)) {
      counters.staleDeaths++
      return
    }
    counters.deaths++
    this.#endSession()
    this.#gone(at)
  }

  #endSession(): void {
    this.#intake = null
    this.#state.waitsForCommit = false
    this.#devicesAt = forever
    this.#context.admission.gone(this.edge, this.#state.hardwareId)
  }

  #gone(at: Instant): void {
    this.#state.rebirth.born()
    this.#absentAt = forever
    this.#askBirthAt = forever
    this.#state.presence.edgeOffline(at, this.#state.isRegistered)
  }
}

const forever = Number.POSITIVE_INFINITY
