import type { Reading } from '../reading.ts'
import { cell, stride } from './columns.ts'
import { evaluate } from './evaluate.ts'
import type { AlarmEvent } from './event.ts'
import type { Instance, RecordInstance } from './instance.ts'
import type { Effect } from './journal-record.ts'
import type { EngineParts } from './parts.ts'
import type { Records } from './records.ts'
import type { Sources } from './sources.ts'
import { step } from './step.ts'

export const isRecordable = ({ rule }: Instance): boolean => rule.kind === 'limit' || rule.kind === 'quality'

/**
 * The record lane: while a source is behind, each of its alarms has a second instance, folded over the durable readings in
 * order. An occurrence that it finds and the live instance never had is journaled with its true times.
 */
export class RecordLane {
  readonly #parts: EngineParts
  readonly #sources: Sources
  readonly #records: Records

  constructor(parts: EngineParts, sources: Sources, records: Records) {
    this.#parts = parts
    this.#sources = sources
    this.#records = records
  }

  isOpen(row: number): boolean {
    return this.#parts.tags.cells[row * stride + cell.forked] === 1
  }

  /** Copies the live state as of the last durable reading; `held` is the value of that reading. Nothing if it is open already. */
  open(row: number, held: number | null): void {
    if (this.isOpen(row)) return
    this.#parts.tags.cells[row * stride + cell.forked] = 1
    for (const instance of this.#sources.of(row)) {
      if (!isRecordable(instance)) continue
      const { state } = instance
      const since = state.v >= 0 ? state.activeSince : null
      instance.record = {
        state,
        time: null,
        value: held,
        open: since === null ? null : { since, level: state.peak, value: state.value },
        liveOccurrences: since === null ? [] : [{ from: since, to: Number.POSITIVE_INFINITY }],
      }
    }
  }

  /** Ends it; what each record instance came to is given back. */
  close(row: number): { readonly instance: Instance; readonly record: RecordInstance }[] {
    this.#parts.tags.cells[row * stride + cell.forked] = 0
    return this.#sources.of(row).flatMap(instance => {
      const { record } = instance
      instance.record = null
      return record ? [{ instance, record }] : []
    })
  }

  /** One durable reading; `last` is the source time of the durable reading before it. */
  apply(
    row: number,
    value: number | null,
    reading: Pick<Reading, 'quality' | 'reason' | 'sourceTimestamp'>,
    last: number,
    at: number,
    skewMs: number,
  ): void {
    const stamp = Math.min(reading.sourceTimestamp + skewMs, at)
    const device = this.#sources.deviceOf(row)
    for (const instance of this.#sources.of(row)) {
      const { record, rule } = instance
      if (!record) continue
      const before = record.time ?? last + skewMs
      const t = Math.max(stamp, before)
      const held = record.value
      record.time = t
      record.value = value
      const saysInhibit = reading.quality === 'uncertain' && reading.reason === 'inhibit'
      const event: AlarmEvent =
        saysInhibit || this.#parts.inhibits.covers(device, t)
          ? { type: 'unknown', t, health: 'inhibited' }
          : evaluate(rule, value, reading.quality, reading.reason, t)
      const gapAt = before + rule.maxGapMs
      if (rule.kind === 'limit' && t > gapAt) {
        this.#step(instance, record, { type: 'timers', upTo: gapAt, strict: true, value: held })
        this.#step(instance, record, { type: 'unknown', t: gapAt, health: 'stale' })
      }
      this.#step(instance, record, { type: 'timers', upTo: t, strict: true, value: held })
      this.#step(instance, record, event)
      this.#step(instance, record, { type: 'timers', upTo: t, strict: false, value })
    }
  }

  /** What the live instance did meanwhile, so that it is not found a second time. */
  noteLive({ record }: Instance, effect: Effect): void {
    if (!record) return
    if (effect.kind === 'RAISE') record.liveOccurrences.push({ from: effect.at, to: Number.POSITIVE_INFINITY })
    const last = record.liveOccurrences.at(-1)
    if (effect.kind === 'RTN' && last) last.to = effect.at
    // Without a bound an alarm that chatters for weeks would fill the memory; the oldest then count as not seen.
    if (record.liveOccurrences.length > 1_000) record.liveOccurrences.shift()
  }

  #step(instance: Instance, record: RecordInstance, event: AlarmEvent): void {
    const result = step(record.state, event, instance.rule)
    record.state = result.state
    for (const effect of result.effects) this.#take(instance, record, effect)
  }

  #take(instance: Instance, record: RecordInstance, effect: Effect): void {
    const { open } = record
    if (effect.kind === 'RAISE') {
      record.open = { since: effect.at, level: effect.level, value: effect.value }
    } else if (effect.kind === 'LEVEL' && open) {
      const { levels } = instance.rule
      const worse = (levels[effect.level]?.rank ?? 0) > (levels[open.level]?.rank ?? 0)
      if (worse) record.open = { ...open, level: effect.level, value: effect.value }
    } else if (effect.kind === 'RTN' && open) {
      record.open = null
      const seen = record.liveOccurrences.some(live => live.from <= effect.at && live.to >= open.since)
      if (!seen) this.#found(instance, { type: 'late', ...open, activeSince: open.since, returnedAt: effect.at })
    }
  }

  #found(instance: Instance, event: AlarmEvent & { type: 'late' }): void {
    const result = step(instance.state, event, instance.rule)
    instance.state = result.state
    for (const effect of result.effects) this.#records.write(instance, effect, 'record')
    this.#records.changed(instance)
  }
}
