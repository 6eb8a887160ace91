import { type Batch, type DeclaredLoss, maxReadings } from '@penstock/core/delivery/batch.ts'
import { metricNames } from '@penstock/core/delivery/wire.ts'
import { sparkplugDeviceId } from '@penstock/core/description.ts'
import { type DeliveryClass, deliveryClasses, type Reading } from '@penstock/core/reading.ts'
import type { Cancel, Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import { openDurableLog } from '@penstock/core/runtime/durable-log.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { Boot } from '../acquisition/boot.ts'
import { nextVictim, surplusHistory, type Victim } from './bounds.ts'
import { ClassLog } from './class-log.ts'
import { CursorFile } from './cursor-file.ts'
import { Flusher } from './flusher.ts'
import { Identity, type PerClass, perClass } from './identity.ts'
import { OutboxLogbook } from './logbook.ts'
import { kindOf, parseKind, type StoredBatch, type StoredTag } from './record.ts'
import type { DeliveryRules } from './rules.ts'
import { type ClockTrust, Stamps } from './stamps.ts'

export interface OutboxLimits {
  /** bytes of all classes together; the oldest segments of the least important class are dropped beyond it */
  readonly maxBytes: number
  readonly segmentBytes: number
  /** longest time that a reading of class total or raw waits for its sync */
  readonly syncMs: number
  /** unconfirmed readings older than this are dropped; 0: never */
  readonly maxAgeMs: number
}

export interface OutboxOptions {
  readonly files: FileLayer
  readonly folder: string
  readonly clock: Clock
  readonly ticker: Ticker
  readonly log: Logger
  /** uniform in [0, 1) */
  readonly random: () => number
  readonly hardwareId: string
  readonly limits: OutboxLimits
  readonly boot: Boot
  readonly trust: ClockTrust
  /** What the site file says of a tag; undefined for one that it does not have. */
  readonly describe: (tag: string) => Omit<StoredTag, 'tag' | 'type'> | undefined
  readonly rules?: DeliveryRules
}

/** Told by the outbox, synchronously; must not throw. */
export interface OutboxWatcher {
  /** More of a class may be published, or a block that `take` asked for has been read. */
  readonly ready: (name: DeliveryClass) => void
  /** A sync of the class has been running for 100 ms: values go out as live copies meanwhile. */
  readonly slow: (name: DeliveryClass) => void
}

export interface OutboxCounters {
  readonly appended: number
  /** declared as lost: dropped or unreadable batches */
  readonly lost: number
  /** batches that were not taken because the disk had failed and memory was full */
  readonly refused: number
}

const saveCursorMs = 1_000
const ageCheckMs = 60_000
const dropPauseMs = 10_000
/** What a class may hold in memory while the disk does not take it. */
const pendingLimits = { alarm: 8 * 2 ** 20, total: 4 * 2 ** 20, raw: 4 * 2 ** 20 } as const

/**
 * The durable outbox: three logs, one a class, with what is needed to number, confirm, bound and re-read them.
 * It never refuses to start and never stops the program; what it has to give up is declared in class alarm.
 * Source: delivery protocol, what the edge keeps and rules 1, 5, 8 and 9.
 */
export class Outbox {
  readonly stamps: Stamps
  readonly identity: Identity
  readonly logbook: OutboxLogbook
  readonly #options: OutboxOptions
  readonly #classes: PerClass<ClassLog>
  readonly #flushers: PerClass<Flusher>
  readonly #cursors: CursorFile
  readonly #kinds = new Map<string, string>()
  /** Sparkplug device id → number of its last record, by class; before this run the last one that there could be */
  readonly #last = new Map<string, Record<DeliveryClass, number>>()
  readonly #waiting = perClass<{ position: number; run: () => void }[]>(() => [])
  readonly #slow = perClass(() => false)
  readonly #counters = perClass(() => ({ appended: 0, lost: 0, refused: 0 }))
  readonly #refused = perClass<{ firstMs: number; lastMs: number } | null>(() => null)
  readonly #stored: PerClass<Set<string>>
  #watcher: OutboxWatcher | undefined
  #diskProblem: string | null = null
  #droppedAt = Number.NEGATIVE_INFINITY
  #tidying: Promise<void> | undefined
  #tidyAgain = false
  #saveTimer: Cancel | undefined
  #saving: Promise<void> = Promise.resolve()
  #ageTimer: Cancel | undefined
  #closing: Promise<void> | undefined

  private constructor(
    options: OutboxOptions,
    parts: {
      identity: Identity
      stamps: Stamps
      classes: PerClass<ClassLog>
      cursors: CursorFile
      logbook: OutboxLogbook
      kinds: PerClass<Set<string>>
    },
  ) {
    this.#options = options
    this.identity = parts.identity
    this.stamps = parts.stamps
    this.logbook = parts.logbook
    this.#classes = parts.classes
    this.#cursors = parts.cursors
    this.#stored = parts.kinds
    this.#flushers = perClass(name => this.#makeFlusher(name))
    for (const name of deliveryClasses) {
      for (const kind of this.#stored[name]) {
        const [site, device, tag] = parseKind(kind)?.tag.split('/') ?? []
        if (site && device && tag) this.#noteLast(sparkplugDeviceId(site, device), name, parts.classes[name].end - 1)
      }
    }
  }

  /** @throws PenstockError `disk-full` | `disk-failed` only when nothing at all can be written; damage never stops it */
  static async open(options: OutboxOptions): Promise<Outbox> {
    const { files, folder, hardwareId, random, log, clock, boot, trust } = options
    const segmentBytes = Math.max(1024, Math.min(options.limits.segmentBytes, Math.floor(options.limits.maxBytes / 8)))
    await files.makeFolder(folder)
    for (const name of deliveryClasses) await files.makeFolder(`${folder}/${name}`)
    const { identity, knownEpoch, why } = await Identity.open(files, folder, hardwareId, random)
    const stamps = await Stamps.open({ files, path: `${folder}/boots.json`, clock, boot, trust })
    const { file: cursors, state } = await CursorFile.open(files, `${folder}/cursors`)
    const unreadable: { name: DeliveryClass; from: number; to: number }[] = []
    let outbox: Outbox | undefined
    const classes: Partial<Record<DeliveryClass, ClassLog>> = {}
    let newEpoch = knownEpoch === null ? why : null
    for (const name of deliveryClasses) {
      const durable = await openDurableLog({
        folder: `${folder}/${name}`,
        files,
        segmentBytes,
        onDamage: damage => log.warn({ class: name, ...damage }, 'the outbox has a damaged place'),
      })
      const base = knownEpoch === null ? 0 : identity.base[name]
      const same = state?.epoch === knownEpoch && knownEpoch !== null
      const known = state?.cursor[name] ?? base
      const cursor = Math.min(same ? Math.max(known, base) : known, durable.end)
      if (knownEpoch !== null && durable.end < (same ? Math.max(known, base) : base)) {
        newEpoch = `class ${name} ends before what was confirmed`
      }
      classes[name] = new ClassLog({
        name,
        log: durable,
        cursor,
        tail: same && known === cursor ? (state?.tail[name] ?? null) : null,
        holes: state?.holes[name] ?? [],
        fsyncBeforePublish: options.rules?.fsyncBeforePublish !== false,
        onUnreadable: (from, to) => {
          if (outbox) outbox.declare(name, from, to, 'unreadable')
          else unreadable.push({ name, from, to })
        },
        onLoaded: error => outbox?.loaded(name, error),
      })
    }
    const { alarm, total, raw } = classes
    if (!alarm || !total || !raw) throw new PenstockError('closed', { what: 'the outbox' })
    const all: PerClass<ClassLog> = { alarm, total, raw }
    if (newEpoch !== null) {
      await identity.renew(perClass(name => all[name].cursor))
      log.info({ epoch: identity.epoch, why: newEpoch }, 'new epoch of the outbox')
    }
    const logbook = await OutboxLogbook.open(files, `${folder}/logbook.json`, total)
    const kinds = {
      alarm: await alarm.unconfirmedKinds(),
      total: await total.unconfirmedKinds(),
      raw: await raw.unconfirmedKinds(),
    }
    outbox = new Outbox(options, { identity, stamps, classes: all, cursors, logbook, kinds })
    for (const { name, from, to } of unreadable) outbox.declare(name, from, to, 'unreadable')
    // the end of a log that could not be written again at its opening: nobody else would try
    for (const name of deliveryClasses) if (all[name].durableEnd < all[name].end) void outbox.#flushers[name].flush()
    outbox.#tidy()
    if (options.limits.maxAgeMs > 0) outbox.#scheduleAge()
    return outbox
  }

  watch(watcher: OutboxWatcher): void {
    this.#watcher = watcher
  }

  of(name: DeliveryClass): ClassLog {
    return this.#classes[name]
  }

  /** Dictionary entries of batches of an earlier run that may still have to be sent, with their class. */
  storedKinds(): Map<string, DeliveryClass> {
    const kinds = new Map<string, DeliveryClass>()
    for (const name of deliveryClasses) for (const kind of this.#stored[name]) kinds.set(kind, name)
    return kinds
  }

  /** A batch read back uses a tag that `storedKinds` did not name (a restored gateway asks for what was confirmed). */
  addStoredKind(name: DeliveryClass, kind: string): void {
    this.#stored[name].add(kind)
  }

  isSlow(name: DeliveryClass): boolean {
    return this.#slow[name]
  }

  get counters(): PerClass<OutboxCounters> {
    return this.#counters
  }

  get bytes(): number {
    return deliveryClasses.reduce((sum, name) => sum + this.#classes[name].bytes, 0)
  }

  get maxBytes(): number {
    return this.#options.limits.maxBytes
  }

  /** What is wrong with the disk, in words; null: nothing. */
  get diskProblem(): string | null {
    return this.#diskProblem
  }

  /** Takes a batch; `durable` is called once, after the fdatasync that covers all of it. */
  append(batch: Batch, durable?: () => void): void {
    const readings = batch.readings
    for (let at = 0; at === 0 || at < readings.length; at += maxReadings) {
      const last = at + maxReadings >= readings.length
      const part = last && at === 0 ? batch : { ...batch, readings: readings.slice(at, at + maxReadings) }
      this.#append(part, last ? durable : undefined)
    }
  }

  /** Whether a device has records of a class at or after `from`; true also where that is not known. */
  hasUnsent(device: string, name: DeliveryClass, from: number): boolean {
    return (this.#last.get(device)?.[name] ?? -1) >= from
  }

  /** Records [from, to) of a class are lost: noted, and told to the gateway in class alarm. */
  declare(
    name: DeliveryClass,
    from: number,
    to: number,
    reason: DeclaredLoss['reason'],
    times: { firstMs: number | null; lastMs: number | null } = { firstMs: null, lastMs: null },
  ): void {
    const loss: DeclaredLoss = { class: name, from, to, reason, ...times }
    if (to > from) {
      this.#classes[name].addHole(from, to)
      this.#counters[name].lost += to - from
      this.#saveCursorsSoon()
    }
    this.#options.log.warn({ ...loss }, 'readings are lost')
    this.#append({
      class: 'alarm',
      device: null,
      bootId: this.stamps.bootId,
      readings: [
        {
          tag: metricNames.loss,
          type: 'String',
          value: JSON.stringify(loss),
          quality: 'good',
          reason: null,
          sourceTimestamp: this.#options.clock.now(),
          monotonicMs: this.stamps.monotonicMs(),
        },
      ],
    })
  }

  /** The gateway has everything below `cursor` (record number). */
  confirm(name: DeliveryClass, cursor: number, tail: number | null): void {
    this.#classes[name].confirm(cursor, tail)
    if (this.#stored[name].size > 0 && cursor >= this.#classes[name].durableEnd) this.#stored[name].clear()
    this.#saveCursorsSoon()
    if (surplusHistory(this.#use(name), this.maxBytes)) this.#tidy()
  }

  /**
   * Rule 9 and `outbox reset`: a new epoch, in which the unconfirmed batches are numbered from 0. `wanted`: record numbers from
   * which the gateway lacks batches, where it said so and they are below what it had confirmed before.
   */
  async renew(wanted: Partial<PerClass<number>> = {}): Promise<void> {
    const base = perClass(name => Math.min(this.#classes[name].cursor, wanted[name] ?? Number.POSITIVE_INFINITY))
    await this.identity.renew(base)
    for (const name of deliveryClasses) this.#classes[name].confirm(base[name], null)
    this.#saveCursorsSoon()
  }

  /** Syncs what was appended so far. Never rejects. */
  async flush(): Promise<void> {
    await Promise.all(
      deliveryClasses.filter(name => this.#flushers[name].pendingBytes > 0).map(name => this.#flushers[name].flush()),
    )
  }

  /** Syncs everything, writes the small files, closes the logs; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** For ClassLog: a block was read, or could not be. */
  loaded(name: DeliveryClass, error: unknown): void {
    if (this.#closing) return
    if (error === null) {
      this.#watcher?.ready(name)
      return
    }
    this.#options.log.error({ err: error, class: name }, 'reading the outbox failed; trying again')
    this.#options.ticker.after(saveCursorMs, () => this.#watcher?.ready(name))
  }

  #append(batch: Batch, durable?: () => void): void {
    if (this.#closing) return
    const name = batch.class
    const flusher = this.#flushers[name]
    if (flusher.pendingBytes >= pendingLimits[name]) {
      this.#refuse(batch)
      return
    }
    const { ticker } = this.#options
    const stored: StoredBatch = {
      class: name,
      device: batch.device,
      bootId: this.stamps.bootId,
      clockless: this.stamps.areClockless(batch.readings),
      readings: batch.readings,
      kinds: batch.readings.map(reading => this.kindOf(reading)),
    }
    const record = this.#classes[name].append(stored, ticker.now())
    this.#counters[name].appended++
    if (batch.device !== null) this.#noteLast(batch.device, name, record.position)
    if (name === 'total') this.logbook.appended(record.position, stored)
    if (durable) this.#waiting[name].push({ position: record.position, run: durable })
    flusher.wrote(record.bytes)
    if (this.#options.rules?.fsyncBeforePublish === false) this.#watcher?.ready(name)
    if (this.bytes > this.maxBytes) this.#tidy()
  }

  #noteLast(device: string, name: DeliveryClass, position: number): void {
    const last = this.#last.get(device)
    if (last) last[name] = position
    else this.#last.set(device, { alarm: -1, total: -1, raw: -1, [name]: position })
  }

  /** The dictionary entry of a reading, as the site file describes its tag now. */
  kindOf(reading: Reading): string {
    const known = this.#kinds.get(reading.tag)
    if (known !== undefined) return known
    const described = this.#options.describe(reading.tag)
    const { unit = null, resolution = null, modulus = null } = described ?? {}
    const kind = kindOf({ tag: reading.tag, type: reading.type, unit, resolution, modulus })
    if (described) this.#kinds.set(reading.tag, kind)
    return kind
  }

  #refuse(batch: Batch): void {
    this.#counters[batch.class].refused++
    const stamps = batch.readings.map(reading => reading.sourceTimestamp)
    const before = this.#refused[batch.class]
    const firstMs = Math.min(...stamps, before?.firstMs ?? Number.POSITIVE_INFINITY)
    const lastMs = Math.max(...stamps, before?.lastMs ?? Number.NEGATIVE_INFINITY)
    if (stamps.length > 0) this.#refused[batch.class] = { firstMs, lastMs }
  }

  #makeFlusher(name: DeliveryClass): Flusher {
    return new Flusher({
      ticker: this.#options.ticker,
      delayMs: name === 'alarm' ? 0 : this.#options.limits.syncMs,
      sync: () => this.#classes[name].sync(),
      onDurable: () => this.#durable(name),
      onSlow: slow => {
        this.#slow[name] = slow
        if (slow) this.#watcher?.slow(name)
      },
      onFailed: error => this.#syncFailed(name, error),
    })
  }

  #durable(name: DeliveryClass): void {
    this.#droppedAt = Number.NEGATIVE_INFINITY
    if (this.#diskProblem !== null && deliveryClasses.every(other => this.#flushers[other].pendingBytes === 0)) {
      this.#options.log.info('the outbox can write again')
      this.#diskProblem = null
    }
    const held = this.#classes[name]
    held.forgetRecent()
    const waiting = this.#waiting[name]
    let done = 0
    while ((waiting[done]?.position ?? Number.POSITIVE_INFINITY) < held.durableEnd) done++
    for (const { run } of waiting.splice(0, done)) run()
    if (name === 'total') this.logbook.durable(held.durableEnd)
    const refused = this.#refused[name]
    if (refused) {
      this.#refused[name] = null
      this.declare(name, held.end, held.end, 'outbox-full', refused)
    }
    this.#watcher?.ready(name)
  }

  async #syncFailed(name: DeliveryClass, error: unknown): Promise<void> {
    const problem = error instanceof Error ? error.message : String(error)
    if (this.#diskProblem !== problem) this.#options.log.error({ err: error, class: name }, 'the outbox cannot write')
    this.#diskProblem = problem
    const now = this.#options.ticker.now()
    if (!(error instanceof PenstockError && error.code === 'disk-full') || this.#closing) return
    // where dropping did not help, somebody else fills the disk: then not everything is given away at once
    if (now - this.#droppedAt < dropPauseMs) return
    this.#droppedAt = now
    await this.#dropOne()
  }

  async #dropOne(): Promise<void> {
    const victim = nextVictim(this.#uses())
    if (victim) await this.#drop(victim, 'outbox-full').catch(error => this.#warn(error, 'dropping failed'))
  }

  #use(name: DeliveryClass): { name: DeliveryClass; cursor: number; segments: ClassLog['segments'] } {
    return { name, cursor: this.#classes[name].cursor, segments: this.#classes[name].segments }
  }

  #uses() {
    return deliveryClasses.map(name => this.#use(name))
  }

  /** Brings the outbox back within its bounds; one at a time. */
  #tidy(): void {
    if (this.#tidying) {
      this.#tidyAgain = true
      return
    }
    this.#tidying = this.#keepBounds()
      .catch(error => this.#warn(error, 'tidying the outbox failed'))
      .finally(() => {
        this.#tidying = undefined
        if (!this.#tidyAgain || this.#closing) return
        this.#tidyAgain = false
        this.#tidy()
      })
  }

  async #keepBounds(): Promise<void> {
    for (const name of deliveryClasses) {
      const surplus = surplusHistory(this.#use(name), this.maxBytes)
      if (surplus) await this.#drop(surplus, 'outbox-full')
      if (this.#options.limits.maxAgeMs > 0) await this.#dropAged(name)
    }
    while (this.bytes > this.maxBytes) {
      const victim = nextVictim(this.#uses())
      if (!victim) return
      await this.#drop(victim, 'outbox-full')
    }
  }

  async #dropAged(name: DeliveryClass): Promise<void> {
    const limit = this.stamps.now() - this.#options.limits.maxAgeMs
    for (;;) {
      const { cursor, segments } = this.#use(name)
      const [oldest] = segments.slice(0, -1)
      if (!oldest || !this.stamps.known) return
      const { lastMs } = await this.#timesOf(name, oldest.first, oldest.end)
      if (lastMs === null || lastMs >= limit) return
      const lostFrom = oldest.end <= cursor ? null : Math.max(oldest.first, cursor)
      await this.#drop({ name, before: oldest.end, lostFrom }, 'too-old')
    }
  }

  /** The loss is declared before the data goes, so that a power cut between the two forgets neither. */
  async #drop(victim: Victim, reason: DeclaredLoss['reason']): Promise<void> {
    const { name, before } = victim
    const held = this.#classes[name]
    if (name === 'total') await this.logbook.save()
    if (victim.lostFrom !== null) {
      const times = await this.#timesOf(name, victim.lostFrom, before)
      const unknown = held.unknownHole(Math.max(victim.lostFrom, held.cursor), before)
      if (unknown) this.declare(name, ...unknown, reason, times)
    }
    await held.trim(before)
  }

  /** Source times of the first and the last reading of records [from, to); null where they are not known. */
  async #timesOf(name: DeliveryClass, from: number, to: number) {
    const held = this.#classes[name]
    const [first, last] = await Promise.all([held.batchAt(from), held.batchAt(to - 1)])
    return {
      firstMs: first ? (this.stamps.times(first)?.firstMs ?? null) : null,
      lastMs: last ? (this.stamps.times(last)?.lastMs ?? null) : null,
    }
  }

  #scheduleAge(): void {
    this.#ageTimer = this.#options.ticker.after(ageCheckMs, () => {
      this.#tidy()
      this.#scheduleAge()
    })
  }

  #saveCursorsSoon(): void {
    if (this.#closing) return
    this.#saveTimer ??= this.#options.ticker.after(saveCursorMs, () => {
      this.#saveTimer = undefined
      this.#saveCursors()
    })
  }

  #saveCursors(): Promise<void> {
    this.#saving = this.#saving
      .then(() =>
        this.#cursors.save({
          epoch: this.identity.epoch,
          cursor: perClass(name => this.#classes[name].cursor),
          tail: perClass(name => this.#classes[name].tail),
          holes: perClass(name => this.#classes[name].holes),
        }),
      )
      .catch(error => this.#warn(error, 'saving how far the gateway has confirmed failed'))
    return this.#saving
  }

  async #close(): Promise<void> {
    this.#saveTimer?.()
    this.#ageTimer?.()
    await Promise.all(deliveryClasses.map(name => this.#flushers[name].close()))
    await this.#tidying
    await this.logbook.save().catch(error => this.#warn(error, 'saving the logbook failed'))
    await this.#saveCursors()
    await this.#cursors.close().catch(error => this.#warn(error, 'closing failed'))
    for (const name of deliveryClasses) {
      await this.#classes[name].close().catch(error => this.#warn(error, 'closing failed'))
    }
  }

  #warn(error: unknown, what: string): void {
    this.#options.log.warn({ err: error }, what)
  }
}
