import type { DeclaredLoss } from '@penstock/core/delivery/batch.ts'
import { batchUuid, type Confirm, decodeBatchHead, endMetric, metricNames } from '@penstock/core/delivery/wire.ts'
import { deliveryClasses, type Reading } from '@penstock/core/reading.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { Payload } from '@penstock/core/sparkplug/payload.ts'
import type { DeviceVerb, NodeVerb } from '@penstock/core/sparkplug/topics.ts'
import type { LiveEdge } from '../live/table.ts'
import type { Admission, Refusal } from './admission.ts'
import { BatchLane, type DeliveryRules } from './batch-lane.ts'
import { countOf, readNodeBirth, readTags, textOf, toReading } from './births.ts'
import { ConfirmPolicy } from './confirm.ts'
import { readDiagnosis, readLoss } from './edge-reports.ts'
import type { Inbox } from './inbox.ts'
import type { Instant } from './instant.ts'
import { LiveLane, type LiveLaneContext } from './live-lane.ts'
import { Presence } from './presence.ts'
import { RebirthLimit } from './rebirth-limit.ts'
import type { EdgeKey } from './record.ts'
import type { Arrival } from './sequence.ts'
import { Session } from './session.ts'
import { Skew } from './skew.ts'

export interface IntakeContext extends LiveLaneContext {
  readonly inbox: Pick<Inbox, 'append' | 'positions' | 'takesBatches' | 'takesLive'>
  readonly admission: Admission
  readonly rules: DeliveryRules
  /** something is wrong with what came; `place` is the topic */
  readonly note: (kind: string, place: string, what: string) => void
}

export type EdgeVerb = Exclude<NodeVerb, 'NCMD'> | Exclude<DeviceVerb, 'DCMD'>

const reorderMs = 2_000
const alienGraceMs = 5_000
const alienLimit = 3
/** After an NBIRTH its devices have this long to be born again. */
const birthsMs = 5_000
/** After the gateway's own connection was lost, an edge has this long to be born again before it counts as offline. */
const returnMs = 10_000
/** The same after a start, when the edges have yet to see the gateway's STATE. */
const startMs = 30_000
const maxDevices = 2_000

/**
 * One edge as the gateway sees it: births, deaths, sequence, batches, live copies. A synchronous state machine: `message`, `run`,
 * `committed` and a few more are its inputs, the inbox, the live table and what `takeRebirth` and `takeConfirm` return its outputs.
 */
export class EdgeIntake {
  readonly edge: EdgeKey
  readonly group: string
  readonly id: string
  readonly skew = new Skew()
  readonly presence: Presence
  readonly #context: IntakeContext
  readonly #rebirth = new RebirthLimit()
  readonly #lane: LiveLane
  #session: Session | null = null
  #refusal: Refusal | null = 'unknown-edge'
  #hardwareId: string | null = null
  #software: string | null = null
  #epoch: string | null = null
  #limitsHash: string | null = null
  #lagMs: number | null = null
  #waitingForCommit = false
  /** machine times of what happens by itself */
  #absentAt = forever
  #askBirthAt = forever
  #devicesAt = forever

  constructor(group: string, id: string, context: IntakeContext, at: Instant) {
    this.edge = `${group}/${id}`
    this.group = group
    this.id = id
    this.#context = context
    this.#lane = new LiveLane(this.edge, context)
    this.presence = new Presence(this.edge, context.inbox, context.live, at.now)
  }

  /** Machine time at which `run` has something to do. */
  get dueAt(): number {
    const session = this.#session
    const ofSession = session
      ? Math.min(session.lane?.dueAt ?? forever, session.sequence.gapSince + reorderMs)
      : forever
    return Math.min(this.#absentAt, this.#askBirthAt, this.#devicesAt, ofSession)
  }

  /** Machine time at which a rebirth may be requested; Infinity: none is wanted. */
  get rebirthAt(): number {
    return this.#rebirth.dueAt
  }

  /** Machine time of the next confirmation; Infinity when none may be sent. */
  get confirmAt(): number {
    return this.#refusal === null && this.#session?.lane ? this.#session.confirm.dueAt : forever
  }

  get isRefused(): boolean {
    return this.#refusal !== null
  }

  get isBorn(): boolean {
    return this.#session !== null
  }

  /** Batches went into the inbox and are not committed yet. */
  get waitsForCommit(): boolean {
    return this.#waitingForCommit
  }

  /** Hash of the alarm limits that the edge uses; null: it does not speak of them. */
  get limitsHash(): string | null {
    return this.#session?.birth.delivery ? this.#limitsHash : null
  }

  message(verb: EdgeVerb, device: string | null, payload: Payload, at: Instant): void {
    try {
      if (verb === 'NBIRTH') this.#nodeBirth(payload, at)
      else if (verb === 'NDEATH') this.#nodeDeath(payload, at)
      else this.#ofSession(verb, device, payload, at)
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
    if (session && at.tick - session.sequence.gapSince >= reorderMs) {
      session.sequence.forget()
      this.#context.counters.gaps++
      this.#rebirth.want('messages are missing')
    }
    if (at.tick >= this.#devicesAt) {
      this.#devicesAt = forever
      for (const { device } of this.presence.devices.values()) {
        if (!session?.born.has(device)) this.presence.deviceOffline(device, at, !this.isRefused)
      }
    }
    if (at.tick >= this.#askBirthAt) {
      this.#askBirthAt = forever
      if (!session) this.#rebirth.want('not born since the gateway connected')
    }
    if (at.tick >= this.#absentAt) {
      this.#absentAt = forever
      if (!session) this.#gone(at)
    }
  }

  /** Why a rebirth is to be requested now; null: none is, or not yet. */
  takeRebirth(at: Instant): string | null {
    if (at.tick < this.#rebirth.dueAt) return null
    const { reason } = this.#rebirth
    this.#rebirth.asked(at.tick)
    this.#context.counters.rebirthRequests++
    return reason
  }

  /** What to confirm now, without host and ledger; null: nothing. */
  takeConfirm(at: Instant): Omit<Confirm, 'host' | 'ledger'> | null {
    const session = this.#session
    if (at.tick < this.confirmAt || !session?.lane || !session.birth.delivery) return null
    const { lane } = session
    const { epoch, session: number } = session.birth.delivery
    const tailOf = (name: (typeof deliveryClasses)[number]) =>
      this.#context.rules.tailCheck === false ? null : lane.committedTail(name)
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
    this.#waitingForCommit = this.#session?.lane?.committed(at.tick) ?? false
  }

  /** Batches that were refused for want of room are welcome again. */
  roomAgain(at: Instant): void {
    for (const name of deliveryClasses) this.#session?.confirm.missing(name, at.tick)
  }

  /** The registry changed, or somebody adopted the edge: judges the birth once more. */
  reconsider(at: Instant): void {
    const session = this.#session
    if (!session) {
      this.#refusal = this.#context.admission.isRegistered(this.group, this.id) ? null : 'unknown-edge'
      return
    }
    const before = this.#refusal
    const { admission } = this.#context
    this.#refusal = admission.judge(this.group, this.id, session.birth)
    if (![...session.sites].every(site => admission.mayServe(this.group, site))) this.#refusal ??= 'foreign-site'
    if (this.#refusal !== null || before === null) return
    this.presence.announce(session.born, at)
    session.confirm.at(at.tick)
  }

  /** Somebody vouches for the box that is there now. */
  adopt(at: Instant): void {
    const hardwareId = this.#session?.birth.hardwareId ?? this.#hardwareId
    if (hardwareId !== null) this.#context.admission.bind(this.edge, hardwareId)
    this.reconsider(at)
  }

  /** The gateway's connection to the broker ended: what the edge does now is not seen. */
  linkLost(at: Instant): void {
    if (!this.presence.online) return
    this.#endSession()
    this.#absentAt = at.tick + returnMs
  }

  /** The gateway is online (again). An edge that was there before is expected to be born; silent ones are asked. */
  hostOnline(at: Instant): void {
    if (this.#session || !this.presence.online) return
    this.#askBirthAt = at.tick + returnMs
    this.#absentAt = at.tick + startMs
  }

  view(): LiveEdge {
    const lane = this.#session?.lane
    const end = this.#session?.end
    const devices = [...this.presence.devices.values()].map(device => ({ ...device }))
    const behind = (name: (typeof deliveryClasses)[number]) =>
      Math.max(0, (end?.[name] ?? 0) - (lane?.committedNext(name) ?? 0))
    return {
      edge: this.edge,
      online: this.presence.online,
      registered: this.#context.admission.isRegistered(this.group, this.id),
      hardwareId: this.#hardwareId,
      software: this.#software,
      epoch: this.#epoch,
      since: this.presence.since,
      skewMs: this.skew.ms,
      backlog: lane ? { alarm: behind('alarm'), total: behind('total'), raw: behind('raw') } : null,
      lagMs: this.#lagMs,
      lostBatches: this.#context.inbox.positions.edge(this.edge)?.lost ?? 0,
      problem: this.#session || !this.#context.admission.isRegistered(this.group, this.id) ? this.#refusal : null,
      devices,
    }
  }

  #nodeBirth(payload: Payload, at: Instant): void {
    const { counters, admission, inbox, rules } = this.#context
    const birth = readNodeBirth(payload)
    if (!birth) {
      this.#malformed('NBIRTH', 'the delivery metrics of the birth make no sense')
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
    this.#session = session
    this.#rebirth.born()
    this.#hardwareId = birth.hardwareId
    this.#software = birth.software
    this.#epoch = delivery?.epoch ?? null
    this.#limitsHash = birth.limitsHash ?? ''
    this.#absentAt = forever
    this.#askBirthAt = forever
    this.#devicesAt = at.tick + birthsMs
    this.#measureSkew(payload, at)
    this.#refusal = admission.judge(this.group, this.id, birth)
    this.presence.edgeOnline(at)
    if (this.#refusal === null) this.presence.announce([], at)
    this.#declareTags(session, null, payload, at)
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

  /** Everything between two births carries the next sequence number. */
  #ofSession(verb: EdgeVerb, device: string | null, payload: Payload, at: Instant): void {
    const session = this.#session
    const { counters } = this.#context
    if (!session) {
      counters.beforeBirth++
      this.#rebirth.want('data before a birth')
      return
    }
    const { seq } = payload
    if (seq === undefined || seq > 255) {
      this.#malformed(verb, 'no sequence number from 0 to 255')
      return
    }
    const arrival = session.sequence.accept(seq, at.tick)
    if (verb === 'DBIRTH' && device !== null) this.#deviceBirth(session, device, payload, at)
    else if (verb === 'DDEATH' && device !== null) this.#deviceDeath(session, device, at)
    else this.#data(session, device, payload, arrival, at)
  }

  #deviceBirth(session: Session, device: string, payload: Payload, at: Instant): void {
    const { counters } = this.#context
    counters.births++
    if (!this.presence.devices.has(device) && this.presence.devices.size >= maxDevices) {
      counters.refusedTags++
      this.#context.note('too many devices', this.edge, device)
      return
    }
    this.#measureSkew(payload, at)
    const site = this.#declareTags(session, device, payload, at)
    session.born.add(device)
    this.presence.deviceOnline(device, site)
    if (this.#refusal === null) this.presence.announce([device], at)
    this.#diagnosis(device, payload)
  }

  #deviceDeath(session: Session, device: string, at: Instant): void {
    this.#context.counters.deaths++
    session.born.delete(device)
    this.presence.deviceOffline(device, at, !this.isRefused)
  }

  /**
   * Declares the tags of a birth and shows their values; those of a foreign node count. Returns the site, or null if there was
   * no tag to tell it by. A site of another group makes the edge a refused one.
   */
  #declareTags(session: Session, device: string | null, payload: Payload, at: Instant): string | null {
    const { live, admission } = this.#context
    const tags = readTags(this.id, device, payload)
    const listed = new Set<string>()
    const readings: Reading[] = []
    let site: string | null = null
    for (const { source, metric } of tags) {
      site = source.tag.slice(0, source.tag.indexOf('/'))
      session.sites.add(site)
      if (!admission.mayServe(this.group, site)) {
        this.#refusal ??= 'foreign-site'
        this.#refuseTag(source.tag, 'its site belongs to another group')
      }
      if (!session.declare(source, metric)) {
        this.#refuseTag(source.tag, 'too many tags')
        continue
      }
      if (source.retyped) continue
      listed.add(source.tag)
      if (!live.declare(this.edge, device ?? '', source, at.now, !this.isRefused)) {
        this.#refuseTag(source.tag, 'another edge has it')
        continue
      }
      const reading = toReading(source, metric, payload.timestamp ?? at.now)
      readings.push(source.retired ? { ...reading, value: null, quality: 'bad', reason: 'retired' } : reading)
    }
    live.retire(this.edge, device ?? '', tag => listed.has(tag), at.now)
    this.#lane.show(readings, true, at.now)
    this.#spread(session, readings, [], at)
    return site
  }

  #data(session: Session, device: string | null, payload: Payload, arrival: Arrival, at: Instant): void {
    const { counters } = this.#context
    if (device === null) this.#nodeReports(session, payload, at)
    else if (!session.born.has(device)) {
      counters.beforeBirth++
      this.#unresolved(session, 'data of a device before its birth')
      return
    }
    if (payload.uuid === batchUuid && payload.body !== undefined && session.birth.delivery) {
      this.#batch(session, device, payload, payload.body, arrival, at)
      return
    }
    const { current, history, unresolved } = session.readings(device, payload, at.now)
    if (unresolved > 0) this.#unresolved(session, 'an alias that no birth declared', unresolved)
    if (history.length === 0) this.#measureSkew(payload, at)
    counters.liveCopies++
    counters.liveReadings += current.length
    this.#lane.show(current, arrival === 'in-order', at.now)
    this.#spread(session, current, history, at)
    if (device !== null) this.#diagnosis(device, payload)
  }

  #batch(
    session: Session,
    device: string | null,
    payload: Payload,
    body: Uint8Array,
    arrival: Arrival,
    at: Instant,
  ): void {
    const { counters, rules } = this.#context
    const { value: head, problem } = decodeBatchHead(body)
    if (!head) {
      this.#malformed('batch', problem)
      return
    }
    const { delivery } = session.birth
    if (head.session !== delivery?.session && rules.sessionNumber !== false) {
      this.#alien(session, at)
      return
    }
    session.end[head.class] = Math.max(session.end[head.class], head.pos + 1)
    const { current, history, unresolved } = session.readings(device, payload, at.now)
    if (unresolved > 0) {
      this.#unresolved(session, 'an alias that no birth declared', unresolved)
      return
    }
    const live = history.length === 0
    if (live) this.#measureSkew(payload, at)
    if (!session.lane) return
    if (head.pos >= session.lane.next(head.class)) this.#lane.show(current, arrival === 'in-order', at.now)
    if (this.#refusal !== null) {
      counters.refusedBatches++
      return
    }
    const mixed = !live && current.length > 0
    const readings = live ? current : mixed ? session.readingsInOrder(device, payload, at.now) : history
    const losses = device === null ? this.#losses(payload) : []
    const skewMs = this.skew.ms ?? 0
    const batch = { head, readings, losses, receivedAt: at.now, skewMs, live }
    if (!session.lane.offer(batch, at.tick)) return
    this.#waitingForCommit = true
    this.#rebirth.progress()
    const last = readings.at(-1)
    if (last) this.#lagMs = at.now - last.sourceTimestamp - skewMs
  }

  /** Beyond the screens: to the alarms, or, for a node without positions, into what counts. Of registered edges only. */
  #spread(session: Session, current: readonly Reading[], history: readonly Reading[], at: Instant): void {
    if (this.#refusal !== null) return
    const skewMs = this.skew.ms ?? 0
    if (session.birth.delivery) {
      this.#lane.alarm(current, at.now, skewMs)
      return
    }
    this.#lane.countByKey(history, false, at.now, skewMs)
    this.#lane.countByKey(current, true, at.now, skewMs)
    this.#rebirth.progress()
  }

  #alien(session: Session, at: Instant): void {
    const { counters, rules } = this.#context
    counters.alienBatches++
    session.aliens++
    if (rules.rebirthAlienSession === false) return
    if (session.aliens >= alienLimit || at.tick - session.bornAt >= alienGraceMs) {
      this.#rebirth.want('batches of another session')
    }
  }

  /** What the node says about itself: positions, hash of its alarm limits. Who still tells its positions awaits the hello. */
  #nodeReports(session: Session, payload: Payload, at: Instant): void {
    let waits = false
    for (const metric of payload.metrics) {
      // it waits for a hello to an NBIRTH that did not arrive; what it sends until then shows it nowhere else
      if (metric.name === metricNames.session && countOf(metric) !== session.birth.delivery?.session) {
        return this.#alien(session, at)
      }
      if (metric.name === metricNames.alarmLimitsHash) this.#limitsHash = textOf(metric) ?? ''
      for (const name of deliveryClasses) {
        if (metric.name !== endMetric(name)) continue
        session.end[name] = Math.max(session.end[name], countOf(metric) ?? 0)
        waits = true
      }
    }
    if (waits) session.confirm.at(at.tick)
  }

  #diagnosis(device: string, payload: Payload): void {
    for (const metric of payload.metrics) {
      if (metric.name !== metricNames.diagnostics) continue
      const diagnosis = readDiagnosis(metric)
      if (diagnosis) this.#context.live.setDiagnosis(this.edge, device, diagnosis)
      else this.#malformed('diagnostics', 'not a diagnosis')
    }
  }

  #losses(payload: Payload): DeclaredLoss[] {
    return payload.metrics.flatMap(metric => {
      if (metric.name !== metricNames.loss) return []
      const loss = readLoss(metric)
      if (!loss) this.#malformed('loss', 'not a declared loss')
      return loss ?? []
    })
  }

  /** While a message is missing the birth may be the one; otherwise the edge has to be born again. */
  #unresolved(session: Session, reason: string, metrics = 0): void {
    this.#context.counters.unresolved += metrics
    if (session.sequence.gapSince === forever) this.#rebirth.want(reason)
  }

  #measureSkew(payload: Payload, at: Instant): void {
    if (payload.timestamp !== undefined) this.skew.add(at.now, payload.timestamp)
  }

  #refuseTag(tag: string, why: string): void {
    this.#context.counters.refusedTags++
    this.#context.note('tag refused', this.edge, `${tag}: ${why}`)
  }

  #malformed(place: string, problem: string): void {
    this.#context.counters.malformed++
    this.#context.note('malformed', `${this.edge} ${place}`, problem)
  }

  #endSession(): void {
    this.#session = null
    this.#waitingForCommit = false
    this.#devicesAt = forever
    this.#context.admission.gone(this.edge, this.#hardwareId)
  }

  #gone(at: Instant): void {
    this.#rebirth.born()
    this.#absentAt = forever
    this.#askBirthAt = forever
    this.presence.edgeOffline(at, this.#context.admission.isRegistered(this.group, this.id))
  }
}

const forever = Number.POSITIVE_INFINITY
