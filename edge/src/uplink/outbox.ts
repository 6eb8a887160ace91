import { type Batch, type DeclaredLoss, maxReadings } from '@penstock/core/delivery/batch.ts'
import { metricNames } from '@penstock/core/delivery/wire.ts'
import { sparkplugDeviceId } from '@penstock/core/description.ts'
import { type DeliveryClass, deliveryClasses, type Reading } from '@penstock/core/reading.ts'
import type { Cancel } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { ClassLog } from './class-log.ts'
import type { CursorFile } from './cursor-file.ts'
import { Flusher } from './flusher.ts'
import { type Identity, type PerClass, perClass } from './identity.ts'
import type { OutboxLogbook } from './logbook.ts'
import { type OutboxParts, openParts } from './outbox-open.ts'
import type { OutboxCounters, OutboxOptions, OutboxWatcher } from './outbox-options.ts'
import { kindOf, parseKind, type StoredBatch } from './record.ts'
import { type LossTimes, Retention } from './retention.ts'
import type { Stamps } from './stamps.ts'

const saveCursorMs = 1_000
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
  readonly #retention: Retention
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
  #saveTimer: Cancel | undefined
  #saving: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  private constructor(options: OutboxOptions, parts: OutboxParts) {
    this.#options = options
    this.identity = parts.identity
    this.stamps = parts.stamps
    this.logbook = parts.logbook
    this.#classes = parts.classes
    this.#cursors = parts.cursors
    this.#stored = parts.kinds
    this.#flushers = perClass(name => this.#makeFlusher(name))
    const { limits, ticker, log } = options
    this.#retention = new Retention({
      ...{ classes: parts.classes, stamps: parts.stamps, logbook: parts.logbook, limits, ticker, log },
      declare: (name, from, to, reason, times) => this.declare(name, from, to, reason, times),
    })
    for (const name of deliveryClasses) {
      for (const kind of this.#stored[name]) {
        const [site, device, tag] = parseKind(kind)?.tag.split('/') ?? []
        if (site && device && tag) this.#noteLast(sparkplugDeviceId(site, device), name, parts.classes[name].end - 1)
      }
    }
  }

  /** @throws PenstockError `disk-full` | `disk-failed` only when nothing at all can be written; damage never stops it */
  static async open(options: OutboxOptions): Promise<Outbox> {
    let outbox: Outbox | undefined
    const parts = await openParts(options, {
      onUnreadable: (name, from, to) => outbox?.declare(name, from, to, 'unreadable'),
      onLoaded: (name, error) => {
        if (outbox) outbox.#loaded(name, error)
      },
    })
    outbox = new Outbox(options, parts)
    // the end of a log that could not be written again at its opening: nobody else would try
    for (const name of deliveryClasses) {
      if (parts.classes[name].durableEnd < parts.classes[name].end) void outbox.#flushers[name].flush()
    }
    outbox.#retention.start()
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
    times: LossTimes = { firstMs: null, lastMs: null },
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
    this.#retention.confirmed(name)
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

  /** Syncs a class now instead of when its time has come; what the disk refuses is not hurried. */
  hurry(name: DeliveryClass): void {
    this.#flushers[name].hurry()
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

  /** A block was read, or could not be. */
  #loaded(name: DeliveryClass, error: unknown): void {
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
    if (this.bytes > this.maxBytes) this.#retention.tidy()
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
    this.#retention.hasRoom()
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
    if (error instanceof PenstockError && error.code === 'disk-full' && !this.#closing)
      await this.#retention.dropForRoom()
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
    await Promise.all(deliveryClasses.map(name => this.#flushers[name].close()))
    await this.#retention.close()
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
