import { cell, stride } from './columns.ts'
import { evaluate } from './evaluate.ts'
import type { AlarmEvent, Step } from './event.ts'
import { type Instance, nextDelay, quietZone } from './instance.ts'
import type { EngineParts } from './parts.ts'
import { isRecordable, type RecordLane } from './record-lane.ts'
import type { Records } from './records.ts'
import type { Schedule } from './schedule.ts'
import type { Sources } from './sources.ts'
import { isOpen } from './state.ts'
import { step } from './step.ts'

export interface Lanes {
  readonly parts: EngineParts
  readonly sources: Sources
  readonly schedule: Schedule
  readonly records: Records
  readonly record: RecordLane
}

/** The live instances: every step goes through `commit`, and what follows from it is done there. */
export class LiveLane {
  readonly #parts: EngineParts
  readonly #sources: Sources
  readonly #schedule: Schedule
  readonly #records: Records
  readonly #record: RecordLane
  /** value that a tag had before the reading that is being applied */
  #held: { readonly row: number; readonly value: number | null } | null = null

  constructor({ parts, sources, schedule, records, record }: Lanes) {
    this.#parts = parts
    this.#sources = sources
    this.#schedule = schedule
    this.#records = records
    this.#record = record
  }

  /** Says that the value of a tag is about to be replaced. */
  holds(row: number): void {
    this.#held = { row, value: this.#parts.tags.valueOf(row) }
  }

  holdsNothing(): void {
    this.#held = null
  }

  heldValue(row: number): number | null {
    return this.#held?.row === row ? this.#held.value : this.#parts.tags.valueOf(row)
  }

  /** Delays that ended before the event, the event, delays that end with it. `durable`: it came in the durable lane. */
  feed(instance: Instance, event: AlarmEvent, at: number, value: number | null, durable: boolean, held = value): void {
    this.commit(instance, { type: 'timers', upTo: at, strict: true, value: held }, durable)
    this.commit(instance, event, durable)
    this.commit(instance, { type: 'timers', upTo: at, strict: false, value }, durable)
  }

  /** A condition that is simply true or false for all levels, now. */
  feedAll(instance: Instance, zone: 'T' | 'F', t: number): void {
    const zones = instance.rule.levels.map(() => zone)
    this.feed(instance, { type: 'sample', t, value: null, zones, raiseOnly: false }, t, null, true)
  }

  commit(instance: Instance, event: AlarmEvent, durable: boolean): Step {
    if (event.type === 'timers' && nextDelay(instance.state) === null) {
      return { state: instance.state, effects: [], refused: null }
    }
    const result = step(instance.state, event, instance.rule)
    this.take(instance, result, durable)
    return result
  }

  /** Makes the result of a step the state of the alarm. */
  take(instance: Instance, result: Step, durable: boolean): void {
    const before = instance.state
    if (result.state === before && result.effects.length === 0) return
    const { row } = instance
    // What did not come in the durable lane makes the live instance go its own way: keep a copy for the durable readings.
    const leaves = !durable && row >= 0 && result.state.levels !== before.levels && isRecordable(instance)
    if (leaves) this.#record.open(row, this.heldValue(row))
    instance.state = result.state
    for (const effect of result.effects) {
      this.#record.noteLive(instance, effect)
      // Nothing about this tag may happen before what has just happened.
      const byClock = effect.cause === 'C3' || effect.cause === 'C10'
      if (byClock && row >= 0) this.moveTime(row, effect.at)
      this.#records.write(instance, effect, 'live')
    }
    this.#records.changed(instance)
    this.#schedule.arm(instance)
    if (instance.state.e === 'retired' && !isOpen(instance.state)) this.remove(instance)
  }

  remove(instance: Instance): void {
    this.#parts.instances.delete(instance.id)
    this.#sources.remove(instance)
    instance.timerAt = null
  }

  /** The event time of a tag never goes back. */
  moveTime(row: number, t: number): void {
    const { cells } = this.#parts.tags
    const place = row * stride + cell.time
    cells[place] = Math.max(cells[place] ?? 0, t)
  }

  /** Evaluates the newest reading of a tag for all its alarms. `isReport`: it has just come in. */
  evaluate(row: number, durable: boolean, isReport: boolean): void {
    const { tags } = this.#parts
    const quality = tags.qualityOf(row)
    if (quality === null) return
    const at = tags.cells[row * stride + cell.time] ?? 0
    const reason = tags.reasonOf(row)
    const value = tags.valueOf(row)
    const blind = this.isInhibited(row)
    for (const instance of this.#sources.of(row)) {
      if (instance.state.e !== 'on' || instance.rule.kind === 'inhibit') continue
      if (instance.rule.kind === 'stale') {
        if (quality !== 'bad' && isReport) this.#report(instance, at)
        continue
      }
      const event: AlarmEvent = blind
        ? { type: 'unknown', t: at, health: 'inhibited' }
        : evaluate(instance.rule, value, quality, reason, at)
      this.feed(instance, event, at, value, durable, this.heldValue(row))
    }
  }

  /** Evaluates the value that is held now that it counts again; one from before a pause of the engine is not trusted. */
  evaluateHeld(row: number): void {
    const { tags, now, bootedAt } = this.#parts
    this.moveTime(row, now)
    this.holdsNothing()
    const received = tags.cells[row * stride + cell.received] ?? 0
    const isHeld = received >= bootedAt && received + this.#sources.maxGap(row) > now
    if (isHeld || tags.qualityOf(row) === 'bad') this.evaluate(row, true, false)
    else this.unknown(row, now, 'init', true)
    this.rest(row)
  }

  /** A reading that repeats the newest one says nothing new, but it says that the source is alive. */
  repeated(row: number, durable: boolean): void {
    const { tags, now } = this.#parts
    if (tags.qualityOf(row) === 'bad') return
    for (const instance of this.#sources.of(row)) {
      if (instance.rule.kind === 'stale' && instance.state.e === 'on') this.#report(instance, now)
    }
    const blind = this.#sources.of(row).some(({ state }) => state.h === 'stale' || state.h === 'init')
    if (!blind) return
    this.moveTime(row, now)
    this.evaluate(row, durable, true)
  }

  /** Nothing is known of a tag any more: for all its alarms that look at values. */
  unknown(row: number, t: number, health: 'init' | 'inhibited', durable: boolean): void {
    for (const instance of [...this.#sources.of(row)]) {
      if (instance.rule.kind === 'inhibit' || instance.state.e !== 'on') continue
      this.commit(instance, { type: 'unknown', t, health }, durable)
    }
  }

  /** The durable readings have reached the newest live one: both instances must agree, and the record stands. */
  catchUp(row: number): void {
    const { tags } = this.#parts
    const t = tags.cells[row * stride + cell.time] ?? 0
    for (const { instance, record } of this.#record.close(row)) {
      const { open, state } = record
      const value = open ? open.value : tags.valueOf(row)
      this.commit(instance, { type: 'adopt', t, levels: state.levels, activeSince: open?.since ?? null, value }, true)
    }
  }

  /** Recomputes the quiet zone of a tag. */
  rest(row: number): void {
    const { tags, selfInhibits } = this.#parts
    const saysInhibit = selfInhibits.size > 0 && selfInhibits.has(tags.tags[row] ?? '')
    const blind = saysInhibit || this.isInhibited(row)
    const zone = blind || tags.qualityOf(row) !== 'good' ? null : quietZone(this.#sources.of(row))
    tags.cells[row * stride + cell.lo] = zone ? zone.lo : Number.POSITIVE_INFINITY
    tags.cells[row * stride + cell.hi] = zone ? zone.hi : Number.NEGATIVE_INFINITY
  }

  isInhibited(row: number): boolean {
    const { inhibits, selfInhibits, tags, now, maxInhibitMs } = this.#parts
    if (inhibits.of(this.#sources.deviceOf(row))) return true
    if (selfInhibits.size === 0) return false
    const since = selfInhibits.get(tags.tags[row] ?? '')
    return since !== undefined && now < since + maxInhibitMs
  }

  /** A report came in from a source that a stale rule watches. */
  #report(instance: Instance, t: number): void {
    const { state, rule } = instance
    const active = state.levels.some(level => level.c !== 'N')
    if (!active && state.h === 'ok') return
    if (instance.reportedAt === this.#parts.now) return
    instance.reportedAt = this.#parts.now
    instance.reports = active ? instance.reports + 1 : 0
    if (active && instance.reports < rule.offAfterGood) return
    this.feedAll(instance, 'F', Math.max(t, state.activeSince ?? t))
    this.#schedule.arm(instance)
  }
}
