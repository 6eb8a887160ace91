import type { AlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import type { BatchReading } from '@penstock/core/delivery/batch.ts'
import { maxReadings } from '@penstock/core/delivery/batch.ts'
import type { DeliveryClass } from '@penstock/core/reading.ts'
import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import type { BirthPlan, BornDevice, BornTag } from './births.ts'
import { perClass } from './identity.ts'
import { crossesLimit } from './limit-crossing.ts'

export interface LiveCopiesOptions {
  readonly ticker: Ticker
  /** Whether the batches of a class are late, so that its newest values must go ahead (rule 10). */
  readonly isBehind: (name: DeliveryClass) => boolean
  /** Place of a reading in the order of this boot, as `BornTag.sent.order`. */
  readonly orderOf: (reading: BatchReading) => number
  readonly limits: () => AlarmLimits | null
  /** Publishes the newest values of some tags of one device; returns the bytes on the wire. */
  readonly send: (device: BornDevice, tags: readonly BornTag[]) => number
}

const lookEveryMs = 250
const perDeviceMs = 1_000
const startCredit = 32 * 1024
const mostCredit = 256 * 1024

/**
 * Newest values ahead of a class that is behind: at most one message a second and device, a crossed alarm limit at once, and
 * together no more bytes than the batches take. Source: delivery protocol, rules 1, 3 and 10.
 */
export class LiveCopies {
  readonly #options: LiveCopiesOptions
  #plan: BirthPlan | null = null
  #timer: Cancel | undefined
  #credit = startCredit
  #batchAt = Number.NEGATIVE_INFINITY

  constructor(options: LiveCopiesOptions) {
    this.#options = options
  }

  start(plan: BirthPlan): void {
    this.#plan = plan
    this.#credit = startCredit
    this.#batchAt = Number.NEGATIVE_INFINITY
  }

  stop(): void {
    this.#plan = null
    this.#timer?.()
    this.#timer = undefined
  }

  /** `tags` of a device have new values in `BornTag.newest`. */
  report(device: BornDevice, tags: readonly BornTag[], name: DeliveryClass): void {
    device.dirty = true
    if (device.alive && this.#options.isBehind(name)) {
      const limits = this.#options.limits()
      const urgent = limits ? tags.filter(tag => this.#crosses(tag, limits)) : []
      if (urgent.length > 0) this.#credit -= this.#options.send(device, urgent)
    }
    this.look()
  }

  /** A batch of so many bytes went out. */
  sentBatch(bytes: number): void {
    this.#batchAt = this.#options.ticker.now()
    this.#credit = Math.min(mostCredit, this.#credit + bytes)
  }

  /** Looks soon whether something has to go ahead. */
  look(): void {
    if (!this.#plan) return
    this.#timer ??= this.#options.ticker.after(lookEveryMs, () => {
      this.#timer = undefined
      this.#look()
    })
  }

  #look(): void {
    const now = this.#options.ticker.now()
    const behind = perClass(name => this.#options.isBehind(name))
    let waiting = false
    for (const device of this.#plan?.devices.values() ?? []) {
      if (!device.dirty || !device.alive) continue
      const unsent = device.tags.filter(tag => this.#isUnsent(tag))
      const late = unsent.filter(tag => behind[tag.description.class])
      const mayGo = now - device.liveAt >= perDeviceMs && this.#hasCredit(now)
      if (late.length > 0 && mayGo) {
        device.liveAt = now
        for (let at = 0; at < late.length; at += maxReadings) {
          this.#credit -= this.#options.send(device, late.slice(at, at + maxReadings))
        }
      }
      device.dirty = unsent.length > (mayGo ? late.length : 0)
      waiting ||= device.dirty
    }
    if (waiting) this.look()
  }

  /** While no batch goes out there is nothing to share the link with. */
  #hasCredit(now: number): boolean {
    return this.#credit > 0 || now - this.#batchAt > perDeviceMs
  }

  #isUnsent({ newest, sent }: BornTag): boolean {
    return newest !== null && (sent === null || this.#options.orderOf(newest) > sent.order)
  }

  #crosses(tag: BornTag, limits: AlarmLimits): boolean {
    const own = limits.get(tag.tag)
    if (!own || !tag.newest || !this.#isUnsent(tag)) return false
    return crossesLimit(tag.sent?.value, tag.newest.value, own)
  }
}
