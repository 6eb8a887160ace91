import { type Batch, type BatchReading, maxBatchBytes, maxReadings } from '@penstock/core/delivery/batch.ts'
import type { DeviceDescription, TagDescription } from '@penstock/core/description.ts'
import {
  type DeliveryClass,
  deliveryClasses,
  type Quality,
  type Reading,
  type Reason,
  type Value,
} from '@penstock/core/reading.ts'
import { tagOf } from '@penstock/core/tag.ts'
import type { DriverDevice, DriverReading } from '../drivers/driver.ts'
import type { Boot } from './boot.ts'
import { type ReportRule, worthReporting } from './deadband.ts'
import { compileRules, type QualityRule } from './rules.ts'

interface Mutable {
  value: Value | null
  quality: Quality
  reason: Reason | null
}

interface TagState {
  readonly tag: string
  readonly description: TagDescription
  readonly rules: readonly QualityRule[]
  rule: ReportRule
  /** as the driver read it, for the rules of other tags */
  raw: Value | null
  readonly current: Mutable
  sourceTimestamp: number
  readonly reported: Mutable
  /** clock time; never yet: -Infinity */
  reportedAt: number
}

/** What an encoded reading takes at most beside the bytes of a text. */
const readingBytes = 40

/**
 * The newest reading of every tag of a device, and what of it is worth reporting. Pure but for its state: the caller brings
 * the time and takes the batches.
 */
export class DeviceState {
  readonly device: DriverDevice
  readonly description: DeviceDescription
  online = true
  readonly #boot: Boot
  readonly #tags: readonly TagState[]

  constructor(device: DriverDevice, description: DeviceDescription, boot: Boot, now: number) {
    this.device = device
    this.description = description
    this.#boot = boot
    const rules = compileRules(
      device.profile.rules,
      device.tags.map(tag => tag.name),
    )
    this.#tags = description.tags.map((tag, index) => ({
      tag: tagOf(description.site, description.device, tag.name),
      description: tag,
      rules: rules[index] ?? [],
      rule: { deadband: tag.deadband, heartbeatMs: tag.heartbeatMs, limits: null },
      raw: null,
      current: { value: null, quality: 'bad', reason: 'not-read' },
      sourceTimestamp: now,
      reported: { value: null, quality: 'bad', reason: 'not-read' },
      reportedAt: Number.NEGATIVE_INFINITY,
    }))
  }

  current(): Reading[] {
    return this.#tags.map(({ tag, description, current, sourceTimestamp }) => ({
      tag,
      type: description.type,
      ...current,
      sourceTimestamp,
    }))
  }

  setLimits(limits: ReadonlyMap<string, readonly number[]> | null): void {
    for (const state of this.#tags) {
      const { deadband, heartbeatMs } = state.description
      state.rule = { deadband, heartbeatMs, limits: limits ? (limits.get(state.tag) ?? []) : null }
    }
  }

  /** Takes what a driver read; returns the batches worth sending, by class. `force`: all of it. */
  take(readings: readonly DriverReading[], now: number, force: boolean): Batch[] {
    for (const { tag, value } of readings) {
      const state = this.#tags[tag]
      if (state) state.raw = value
    }
    const batches = new Batches(this.device.id, this.#boot)
    for (const reading of readings) {
      const state = this.#tags[reading.tag]
      if (!state) continue
      this.#judge(state, reading)
      if (force || worthReporting(state.reported, state.reportedAt, state.current, now, state.rule)) {
        report(state, now, batches)
      }
    }
    return batches.close()
  }

  /** Everything is bad for one reason; returns the batches that say so. */
  lose(reason: Reason, now: number): Batch[] {
    const batches = new Batches(this.device.id, this.#boot)
    for (const state of this.#tags) {
      state.raw = null
      set(state.current, null, 'bad', reason)
      state.sourceTimestamp = now
      if (worthReporting(state.reported, state.reportedAt, state.current, now, state.rule)) report(state, now, batches)
    }
    return batches.close()
  }

  /** The quality rules of the profile, on top of what the driver says. */
  #judge(state: TagState, reading: DriverReading): void {
    const { current } = state
    set(current, reading.value, reading.quality, reading.reason)
    state.sourceTimestamp = reading.sourceTimestamp
    if (reading.quality === 'bad') return
    for (const rule of state.rules) {
      const condition = this.#tags[rule.condition]?.raw ?? null
      // a condition that cannot be read changes nothing
      if (condition === null || !rule.holds(condition)) continue
      set(current, rule.quality === 'bad' ? null : reading.value, rule.quality, rule.reason)
      return
    }
  }
}

function set(target: Mutable, value: Value | null, quality: Quality, reason: Reason | null): void {
  target.value = value
  target.quality = quality
  target.reason = reason
}

function report(state: TagState, now: number, batches: Batches): void {
  const { current } = state
  set(state.reported, current.value, current.quality, current.reason)
  state.reportedAt = now
  batches.add(state, current)
}

/** Sorts readings into batches: one class each, bounded in number and size. */
class Batches {
  readonly #device: string
  readonly #boot: Boot
  readonly #monotonicMs: number
  readonly #open: Record<DeliveryClass, BatchReading[] | null> = { alarm: null, total: null, raw: null }
  #text = 0
  readonly #done: Batch[] = []

  constructor(device: string, boot: Boot) {
    this.#device = device
    this.#boot = boot
    this.#monotonicMs = boot.monotonicMs()
  }

  add(state: TagState, { value, quality, reason }: Readonly<Mutable>): void {
    const { type, class: deliveryClass } = state.description
    let open = this.#open[deliveryClass]
    if (!open) {
      open = []
      this.#open[deliveryClass] = open
    }
    if (typeof value === 'string') this.#text += value.length * 3
    if (open.length >= maxReadings || open.length * readingBytes + this.#text > maxBatchBytes) {
      this.#finish(deliveryClass, open)
      open = []
      this.#open[deliveryClass] = open
      this.#text = typeof value === 'string' ? value.length * 3 : 0
    }
    open.push({
      tag: state.tag,
      type,
      value,
      quality,
      reason,
      sourceTimestamp: state.sourceTimestamp,
      monotonicMs: this.#monotonicMs,
    })
  }

  close(): Batch[] {
    for (const deliveryClass of deliveryClasses) {
      const open = this.#open[deliveryClass]
      if (open) this.#finish(deliveryClass, open)
    }
    return this.#done
  }

  #finish(deliveryClass: DeliveryClass, readings: readonly BatchReading[]): void {
    if (readings.length > 0) {
      this.#done.push({ class: deliveryClass, device: this.#device, bootId: this.#boot.id, readings })
    }
  }
}
