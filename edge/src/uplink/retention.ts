import type { DeclaredLoss } from '@penstock/core/delivery/batch.ts'
import { type DeliveryClass, deliveryClasses } from '@penstock/core/reading.ts'
import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import { type ClassUse, nextVictim, surplusHistory, type Victim } from './bounds.ts'
import type { ClassLog } from './class-log.ts'
import type { PerClass } from './identity.ts'
import type { OutboxLogbook } from './logbook.ts'
import type { OutboxLimits } from './outbox-options.ts'
import type { Stamps } from './stamps.ts'

export interface LossTimes {
  readonly firstMs: number | null
  readonly lastMs: number | null
}

export interface RetentionOptions {
  readonly classes: PerClass<ClassLog>
  readonly stamps: Stamps
  readonly logbook: OutboxLogbook
  readonly limits: OutboxLimits
  readonly ticker: Ticker
  readonly log: Logger
  /** Records [from, to) are given up. */
  readonly declare: (
    name: DeliveryClass,
    from: number,
    to: number,
    reason: DeclaredLoss['reason'],
    times: LossTimes,
  ) => void
}

const ageCheckMs = 60_000
const dropPauseMs = 10_000

/** Keeps the outbox within its bytes and age (delivery protocol, rules 5 and 8); one step at a time. */
export class Retention {
  readonly #options: RetentionOptions
  #droppedAt = Number.NEGATIVE_INFINITY
  #tidying: Promise<void> | undefined
  #again = false
  #ageTimer: Cancel | undefined
  #closed = false

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  start(): void {
    this.tidy()
    if (this.#options.limits.maxAgeMs > 0) this.#scheduleAge()
  }

  /** More of a class is confirmed: perhaps more than has to be kept. */
  confirmed(name: DeliveryClass): void {
    if (surplusHistory(this.#use(name), this.#options.limits.maxBytes)) this.tidy()
  }

  /** Brings the outbox back within its bounds, now or after what is being done. */
  tidy(): void {
    if (this.#closed) return
    if (this.#tidying) {
      this.#again = true
      return
    }
    this.#tidying = this.#keepBounds()
      .catch(error => this.#options.log.warn({ err: error }, 'tidying the outbox failed'))
      .finally(() => {
        this.#tidying = undefined
        if (!this.#again) return
        this.#again = false
        this.tidy()
      })
  }

  /** The disk is full: one segment goes. Where that did not help, somebody else fills the disk, and not all is given away at once. */
  async dropForRoom(): Promise<void> {
    const { ticker, log } = this.#options
    if (ticker.now() - this.#droppedAt < dropPauseMs) return
    this.#droppedAt = ticker.now()
    const victim = nextVictim(this.#uses())
    if (victim) {
      await this.#drop(victim, 'outbox-full').catch(error => log.warn({ err: error }, 'dropping a segment failed'))
    }
  }

  /** The disk takes what is written. */
  hasRoom(): void {
    this.#droppedAt = Number.NEGATIVE_INFINITY
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#ageTimer?.()
    await this.#tidying
  }

  #use(name: DeliveryClass): ClassUse {
    const { cursor, segments } = this.#options.classes[name]
    return { name, cursor, segments }
  }

  #uses(): ClassUse[] {
    return deliveryClasses.map(name => this.#use(name))
  }

  async #keepBounds(): Promise<void> {
    const { classes, limits } = this.#options
    const bytes = () => deliveryClasses.reduce((sum, name) => sum + classes[name].bytes, 0)
    for (const name of deliveryClasses) {
      const surplus = surplusHistory(this.#use(name), limits.maxBytes)
      if (surplus) await this.#drop(surplus, 'outbox-full')
      if (limits.maxAgeMs > 0) await this.#dropAged(name)
    }
    while (bytes() > limits.maxBytes) {
      const victim = nextVictim(this.#uses())
      if (!victim) return
      await this.#drop(victim, 'outbox-full')
    }
  }

  async #dropAged(name: DeliveryClass): Promise<void> {
    const { limits, stamps } = this.#options
    for (;;) {
      const { cursor, segments } = this.#use(name)
      const [oldest] = segments.slice(0, -1)
      if (!oldest || !stamps.known) return
      const { lastMs } = await this.#timesOf(name, oldest.first, oldest.end)
      if (lastMs === null || lastMs >= stamps.now() - limits.maxAgeMs) return
      const lostFrom = oldest.end <= cursor ? null : Math.max(oldest.first, cursor)
      await this.#drop({ name, before: oldest.end, lostFrom }, 'too-old')
    }
  }

  /** The loss is declared before the data goes, so that a power cut between the two forgets neither. */
  async #drop({ name, before, lostFrom }: Victim, reason: DeclaredLoss['reason']): Promise<void> {
    const { classes, logbook, declare } = this.#options
    const held = classes[name]
    if (name === 'total') await logbook.save()
    if (lostFrom !== null) {
      const times = await this.#timesOf(name, lostFrom, before)
      const unknown = held.unknownHole(Math.max(lostFrom, held.cursor), before)
      if (unknown) declare(name, ...unknown, reason, times)
    }
    await held.trim(before)
  }

  /** Source times of the first and the last reading of records [from, to); null where they are not known. */
  async #timesOf(name: DeliveryClass, from: number, to: number): Promise<LossTimes> {
    const { classes, stamps } = this.#options
    const [first, last] = await Promise.all([classes[name].batchAt(from), classes[name].batchAt(to - 1)])
    return {
      firstMs: first ? (stamps.times(first)?.firstMs ?? null) : null,
      lastMs: last ? (stamps.times(last)?.lastMs ?? null) : null,
    }
  }

  #scheduleAge(): void {
    this.#ageTimer = this.#options.ticker.after(ageCheckMs, () => {
      this.tidy()
      this.#scheduleAge()
    })
  }
}
