import type { AlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import type { Batch } from '@penstock/core/delivery/batch.ts'
import { type Confirm, newSession } from '@penstock/core/delivery/wire.ts'
import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import { type DeliveryClass, deliveryClasses } from '@penstock/core/reading.ts'
import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import { type BirthPlan, type BornDevice, type BornTag, planBirths } from './births.ts'
import type { HeldRecord } from './class-log.ts'
import { isOtherDisk, Lane } from './delivery.ts'
import { DeviceLives } from './device-lives.ts'
import { type PerClass, perClass } from './identity.ts'
import { LiveCopies } from './live-copies.ts'
import type { Outbox } from './outbox.ts'
import { noteSent, RecordResolver } from './record-resolver.ts'
import type { DeliveryRules } from './rules.ts'
import { type Publish, SessionWriter } from './session-writer.ts'
import type { UplinkSource } from './source.ts'

export interface SessionOptions {
  readonly outbox: Outbox
  readonly source: UplinkSource
  readonly ticker: Ticker
  readonly log: Logger
  /** uniform in [0, 1) */
  readonly random: () => number
  readonly rules: DeliveryRules
  readonly host: string
  /** that of the will of this connection */
  readonly bdSeq: number
  readonly software: string
  readonly limits: () => { readonly hash: string; readonly limits: AlarmLimits } | null
  readonly publish: Publish
  /** bytes that wait in the socket */
  readonly queuedBytes: () => number
  /** A confirmation of another ledger came; it was ignored (rule 4). */
  readonly onOtherLedger: (ledger: string) => void
  readonly counters: SessionCounters
}

/** Counted over all sessions of a run. */
export interface SessionCounters {
  births: number
  batches: number
  batchBytes: number
  liveCopies: number
  timeouts: number
  confirmations: number
  /** of another session, epoch or host */
  ignoredConfirmations: number
  /** commands that made no sense */
  ignoredCommands: number
}

const behindMs = 2_000
const repeatEndMs = 10_000
const deathGraceMs = 10_000
const fullSocketBytes = 1024 * 1024
const fullSocketPauseMs = 100

/** A Sparkplug session of the edge, from NBIRTH to the end of the connection, with all its rebirths. */
export class Session {
  readonly #options: SessionOptions
  readonly #lanes: PerClass<Lane>
  readonly #live: LiveCopies
  readonly #writer: SessionWriter
  #plan: BirthPlan = planBirths([], new Map())
  #resolver: RecordResolver
  /** records that the births did not explain */
  readonly #unknown = perClass<number | null>(() => null)
  #number = 0
  #bornAt = 0
  #helloAt: number | null = null
  #confirmedAt: number | null = null
  #lives: DeviceLives
  #laneTimer: Cancel | undefined
  #socketTimer: Cancel | undefined
  #endTimer: Cancel | undefined
  #confirming: Promise<void> = Promise.resolve()
  #pumping = false
  #closed = false

  constructor(options: SessionOptions) {
    this.#options = options
    const { outbox, ticker, publish, random } = options
    this.#lanes = perClass(() => new Lane(random))
    this.#writer = new SessionWriter(publish, () => outbox.stamps.now())
    this.#resolver = new RecordResolver(outbox, this.#plan)
    this.#lives = this.#livesOf(this.#plan)
    this.#live = new LiveCopies({
      ticker,
      isBehind: name => this.isBehind(name),
      orderOf: reading => reading.monotonicMs,
      limits: () => options.limits()?.limits ?? null,
      send: (device, tags) => this.#sendLive(device, tags),
    })
  }

  get number(): number {
    return this.#number
  }

  /** Ticker time of the last birth. */
  get bornAt(): number {
    return this.#bornAt
  }

  /** Ticker time of the last valid confirmation; null: none in this session. */
  get confirmedAt(): number | null {
    return this.#confirmedAt
  }

  lane(name: DeliveryClass): Lane {
    return this.#lanes[name]
  }

  /** Rules 2 and 11: a new session number, all births, then silence until the hello. */
  born(): void {
    if (this.#closed) return
    const { outbox, random, source, bdSeq, software, limits, ticker, rules, counters } = this.#options
    this.#live.stop()
    for (const name of deliveryClasses) this.#lanes[name].startSession()
    this.#number = newSession(below => Math.floor(random() * below))
    this.#plan = planBirths(source.devices, outbox.storedKinds())
    this.#resolver = new RecordResolver(outbox, this.#plan)
    this.#bornAt = ticker.now()
    this.#helloAt = null
    this.#confirmedAt = null
    this.#lives = this.#livesOf(this.#plan)
    counters.births++
    this.#writer.nbirth({
      bdSeq,
      software,
      session: this.#number,
      epoch: outbox.identity.epoch,
      hardwareId: outbox.identity.hardwareId,
      ledger: outbox.identity.ledger ?? '',
      alarmLimitsHash: limits()?.hash ?? '',
      clockSynchronised: outbox.stamps.synchronised,
      first: perClass(name => this.#positionOf(name, outbox.of(name).first)),
      end: perClass(name => this.#positionOf(name, outbox.of(name).durableEnd)),
    })
    this.#lives.bearAll()
    this.#live.start(this.#plan)
    if (rules.hello === false) {
      for (const name of deliveryClasses) this.#lanes[name].hello(outbox.of(name).cursor, this.#bornAt)
      this.pump()
    }
    this.#repeatEnds()
  }

  /** New readings of this run; their batch is in the outbox already. */
  report(batch: Batch): void {
    const device = batch.device === null ? undefined : this.#plan.devices.get(batch.device)
    if (!device || this.#closed) return
    const tags: BornTag[] = []
    for (const reading of batch.readings) {
      const tag = this.#plan.byKind.get(this.#options.outbox.kindOf(reading))
      if (!tag) continue
      tag.newest = reading
      tags.push(tag)
    }
    this.#live.report(device, tags, batch.class)
  }

  deviceState(id: string, online: boolean): void {
    const device = this.#plan.devices.get(id)
    if (!device || this.#closed) return
    if (online) this.#lives.came(device)
    else {
      this.#lives.went(device)
      this.#settleDeaths()
    }
  }

  diagnosis(id: string, diagnosis: DeviceDiagnosis): void {
    const device = this.#plan.devices.get(id)
    if (device?.alive && !this.#closed) this.#writer.diagnosis(device, diagnosis)
  }

  limitsChanged(): void {
    if (!this.#closed) this.#writer.alarmLimitsHash(this.#options.limits()?.hash ?? '')
  }

  /** A confirmation arrived; `sentAt`: timestamp of its payload. Handled in order of arrival. */
  confirm(confirm: Confirm, sentAt: number | undefined): void {
    this.#confirming = this.#confirming
      .then(() => this.#confirm(confirm, sentAt))
      .catch(error => this.#options.log.error({ err: error }, 'a confirmation could not be used'))
  }

  /** Sends what may be sent (rule 6). Called whenever something could have changed. */
  pump(): void {
    if (this.#closed || this.#pumping || this.#number === 0) return
    this.#pumping = true
    try {
      this.#pump()
    } finally {
      this.#pumping = false
    }
    this.#settleDeaths()
    this.#schedule()
  }

  /** A sync is slow, or a class may have fallen behind: newest values may have to go ahead. */
  look(): void {
    this.#live.look()
  }

  /** Rule 10: the oldest unsent batch is older than 2 s; also before the hello, and while a sync is slow (rule 1). */
  isBehind(name: DeliveryClass): boolean {
    const { outbox, ticker } = this.#options
    const from = this.#lanes[name].sent
    if (from === null || !outbox.stamps.known || outbox.isSlow(name)) return true
    const appendedAt = outbox.of(name).appendedAt(from)
    return appendedAt !== null && ticker.now() - appendedAt > behindMs
  }

  /** Nothing is published any more. */
  close(): void {
    this.#closed = true
    this.#live.stop()
    this.#laneTimer?.()
    this.#socketTimer?.()
    this.#endTimer?.()
  }

  #pump(): void {
    const { outbox, queuedBytes, ticker } = this.#options
    if (!outbox.stamps.known) return
    for (const name of deliveryClasses) {
      const lane = this.#lanes[name]
      const held = outbox.of(name)
      for (let from = lane.sent; from !== null && lane.fits(1); from = lane.sent) {
        if (queuedBytes() > fullSocketBytes) {
          this.#socketTimer?.()
          this.#socketTimer = ticker.after(fullSocketPauseMs, () => this.pump())
          return
        }
        const record = held.take(from)
        if (record === null || record === 'loading' || !lane.fits(record.bytes)) break
        if (!this.#sendBatch(name, record)) return
      }
    }
  }

  /** False: the births did not know a tag of it, so there were new ones. */
  #sendBatch(name: DeliveryClass, record: HeldRecord): boolean {
    const { ticker, rules, counters } = this.#options
    const message = this.#resolver.resolve(record)
    if (message === null) return this.#bearUnknown(name, record)
    const { device, tags, readings, orders, historical } = message
    if (device) this.#lives.bearForBatch(device)
    const lane = this.#lanes[name]
    const from = lane.send(record, ticker.now())
    if (from < record.position) this.#explainGap(name, from, record.position)
    const pos = this.#positionOf(name, record.position)
    const head = {
      session: rules.sessionNumber === false ? 0 : this.#number,
      class: name,
      from: rules.declaredHoles === false ? pos : this.#positionOf(name, from),
      pos,
      crc: record.crc,
    }
    const bytes = this.#writer.batch(device, head, tags, readings, historical)
    for (const [index, tag] of tags.entries()) noteSent(tag, readings[index], orders[index] ?? 0)
    counters.batches++
    counters.batchBytes += bytes
    this.#live.sentBatch(bytes)
    return true
  }

  /** New births, with the tags of this record; a record that even they do not explain is as good as unreadable. */
  #bearUnknown(name: DeliveryClass, { position, batch }: HeldRecord): boolean {
    const { outbox, log } = this.#options
    if (this.#unknown[name] === position) {
      outbox.declare(name, position, position + 1, 'unreadable')
      return true
    }
    this.#unknown[name] = position
    for (const kind of batch.kinds) outbox.addStoredKind(name, kind)
    log.info({ class: name, device: batch.device }, 'stored readings need tags that were not born')
    this.born()
    return false
  }

  #sendLive(device: BornDevice, tags: readonly BornTag[]): number {
    const { outbox, counters } = this.#options
    const newest = tags.flatMap(tag => (tag.newest ? [outbox.stamps.current(tag.newest)] : []))
    const bytes = this.#writer.live(device, tags, newest)
    for (const tag of tags) {
      if (tag.newest) noteSent(tag, tag.newest, tag.newest.monotonicMs)
    }
    counters.liveCopies++
    return bytes
  }

  /** A restored gateway asked for records that were confirmed and dropped long ago: it is told why they do not come. */
  #explainGap(name: DeliveryClass, from: number, position: number): void {
    const { outbox } = this.#options
    const held = outbox.of(name)
    const gone = held.unknownHole(from, Math.min(position, held.first))
    if (gone) outbox.declare(name, ...gone, 'disk-image')
  }

  #livesOf(plan: BirthPlan): DeviceLives {
    const { source, outbox } = this.#options
    return new DeviceLives({ writer: this.#writer, source, outbox, plan })
  }

  #settleDeaths(): void {
    const patient = this.#options.ticker.now() - this.#bornAt < deathGraceMs
    this.#lives.settle(name => this.#lanes[name].sent, patient)
  }

  async #confirm(confirm: Confirm, sentAt: number | undefined): Promise<void> {
    const { outbox, host, rules, counters, ticker, log, onOtherLedger } = this.#options
    const { identity, stamps } = outbox
    const isOurs = () =>
      !this.#closed &&
      confirm.host === host &&
      confirm.epoch === identity.epoch &&
      (rules.sessionNumber === false || confirm.session === this.#number)
    if (!isOurs() || this.#number === 0) {
      counters.ignoredConfirmations++
      return
    }
    if (identity.ledger !== null && identity.ledger !== confirm.ledger) return onOtherLedger(confirm.ledger)
    if (identity.ledger === null) {
      await identity.pin(confirm.ledger)
      log.info({ ledger: confirm.ledger }, 'this edge now belongs to the gateway with this ledger')
    }
    if (!stamps.known && sentAt !== undefined) {
      await stamps.learn(sentAt).catch(error => log.warn({ err: error }, 'the offset of the clock could not be kept'))
    }
    const hello = this.#helloAt === null
    const next = perClass(name => identity.base[name] + confirm.next[name])
    const own = perClass(
      name => this.#lanes[name].crcInFlight(next[name] - 1) ?? outbox.of(name).crcNow(next[name] - 1),
    )
    if (hello) {
      for (const name of deliveryClasses) own[name] ??= await outbox.of(name).crcOf(next[name] - 1)
    }
    // a rebirth may have come while the disk was asked
    if (!isOurs()) return
    const checks = deliveryClasses.map(name => {
      const { provenEnd } = outbox.of(name)
      const check = { next: next[name], tail: confirm.tail[name], durableEnd: provenEnd, ownCrc: own[name] }
      return { class: name, ...check, isOther: isOtherDisk(check, rules.tailCheck !== false) }
    })
    const other = checks.find(({ isOther }) => isOther)
    if (other) {
      log.warn(other, 'this disk is not the one that the gateway knows: new epoch')
      // a class of which a restored gateway lacks more than was unconfirmed here
      const wanted = hello ? checks.filter(({ isOther }) => !isOther).map(check => [check.class, check.next]) : []
      await outbox.renew(Object.fromEntries(wanted))
      this.born()
      return
    }
    if (hello && this.#isOlderThanEpoch(confirm)) {
      log.warn(
        { epoch: identity.epoch },
        'the gateway was put back to a time before this epoch: new epoch with all that is held',
      )
      // from the base on what is no longer held is declared; before it, nobody knows what the gateway has
      await outbox.renew(perClass(name => Math.min(outbox.of(name).first, identity.base[name])))
      this.born()
      return
    }
    const now = ticker.now()
    counters.confirmations++
    this.#confirmedAt = now
    this.#helloAt ??= now
    for (const name of deliveryClasses) {
      const lane = this.#lanes[name]
      const outcome = hello && rules.hello !== false ? lane.hello(next[name], now) : lane.confirm(next[name], now)
      if (next[name] > outbox.of(name).cursor) {
        outbox.confirm(name, next[name], outcome?.tail ?? own[name] ?? confirm.tail[name])
      }
      if (confirm.resend.includes(name)) lane.resend(now)
    }
    this.pump()
    this.look()
  }

  /**
   * The gateway knows nothing of this epoch, of which it had confirmed something: a backup from before the epoch was put back. It may
   * lack the end of the epoch before, too; that cannot be asked for, so everything is sent again and readings may repeat.
   */
  #isOlderThanEpoch({ next }: Confirm): boolean {
    const { outbox } = this.#options
    const { base } = outbox.identity
    return (
      deliveryClasses.every(name => next[name] === 0) &&
      deliveryClasses.some(name => base[name] > 0) &&
      deliveryClasses.some(name => outbox.of(name).cursor > base[name])
    )
  }

  #schedule(): void {
    this.#laneTimer?.()
    this.#laneTimer = undefined
    const { ticker, counters } = this.#options
    const due = deliveryClasses.flatMap(name => this.#lanes[name].dueAt ?? [])
    if (due.length === 0 || this.#closed) return
    this.#laneTimer = ticker.after(Math.min(...due) - ticker.now(), () => {
      const now = ticker.now()
      for (const name of deliveryClasses) if (this.#lanes[name].tick(now)) counters.timeouts++
      this.pump()
      this.look()
    })
  }

  /** Rule 3: while nobody confirms, the gateway is told again every 10 s how much there is. */
  #repeatEnds(): void {
    const { outbox, ticker } = this.#options
    this.#endTimer?.()
    this.#endTimer = ticker.after(repeatEndMs, () => {
      this.#settleDeaths()
      if (this.#helloAt !== null || this.#closed) return
      this.#writer.ends(
        this.#number,
        perClass(name => this.#positionOf(name, outbox.of(name).durableEnd)),
      )
      this.#repeatEnds()
    })
  }

  #positionOf(name: DeliveryClass, record: number): number {
    return Math.max(0, record - this.#options.outbox.identity.base[name])
  }
}
