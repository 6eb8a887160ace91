import type { Quality, Reason } from '../reading.ts'
import { inhibitTooLong } from './built-in.ts'
import { alarmId, type CompiledRule } from './compile.ts'
import type { Inhibit } from './inhibits.ts'
import type { Instance } from './instance.ts'
import type { RefuseCode } from './journal-record.ts'
import type { LiveLane } from './live-lane.ts'
import type { EngineParts } from './parts.ts'
import type { Records } from './records.ts'
import type { Schedule } from './schedule.ts'
import type { Sources } from './sources.ts'

interface Around {
  readonly parts: EngineParts
  readonly sources: Sources
  readonly schedule: Schedule
  readonly records: Records
  readonly live: LiveLane
  readonly create: (rule: CompiledRule, source: string, row: number) => Instance
}

/** Detectors in calibration raise nothing, but never for longer than the rule file allows; both ends are journaled. */
export class Calibration {
  readonly #around: Around

  constructor(around: Around) {
    this.#around = around
  }

  /** @returns why it is refused; null when the inhibit runs */
  start(inhibit: Omit<Inhibit, 'from'>, commandId: string): RefuseCode | null {
    const { parts, sources, schedule, records, live } = this.#around
    const { now, inhibits, maxInhibitMs } = parts
    const { device, until, actor, reason } = inhibit
    const linked = sources.device(device)
    if (!linked) return 'unknown_device'
    if (until <= now) return 'in_the_past'
    const from = inhibits.of(device)?.from ?? now
    // Prolonged again and again it would have no limit: the time counts from its beginning.
    if (until > from + maxInhibitMs) return 'too_long'
    inhibits.start({ ...inhibit, from })
    schedule.armInhibit({ ...inhibit, from })
    records.note('INHIBIT', device, actor, { reason, commandId, returnedAt: until })
    for (const row of linked.rows) {
      live.moveTime(row, now)
      live.unknown(row, now, 'inhibited', true)
      live.rest(row)
    }
    return null
  }

  /** Ends an inhibit, if there is one: the values that are held count at once. */
  end(device: string, actor: string, commandId: string | null): boolean {
    const { parts, sources, schedule, records, live } = this.#around
    const inhibit = parts.inhibits.of(device)
    if (!inhibit) return false
    parts.inhibits.end(device, parts.now)
    records.note('END_INHIBIT', device, actor, { reason: inhibit.reason, activeSince: inhibit.from, commandId })
    const linked = sources.device(device)
    for (const row of linked?.rows ?? []) {
      live.evaluateHeld(row)
      schedule.armGap(row)
      for (const instance of sources.of(row)) schedule.arm(instance)
    }
    return true
  }

  /** A device that says "calibration" itself is believed, but not for ever. */
  says(row: number, quality: Quality, reason: Reason | null): void {
    const { parts, sources, schedule, records, live } = this.#around
    const inhibits = quality === 'uncertain' && reason === 'inhibit'
    if (!inhibits && parts.selfInhibits.size === 0) return
    const tag = parts.tags.tags[row] ?? ''
    const since = parts.selfInhibits.get(tag)
    if (inhibits === (since !== undefined)) return
    if (!sources.of(row).some(instance => instance.rule.kind === 'limit')) return
    if (inhibits) {
      parts.selfInhibits.set(tag, parts.now)
      schedule.armSelfInhibit(tag)
      records.note('INHIBIT', tag, 'device', { reason: 'inhibit' })
      return
    }
    parts.selfInhibits.delete(tag)
    records.note('END_INHIBIT', tag, 'device', { reason: 'inhibit', activeSince: since ?? null })
    const long = parts.instances.get(alarmId(inhibitTooLong.id, tag))
    if (long) live.feedAll(long, 'F', parts.now)
  }

  /** It has said so for too long: that is an alarm, and from now on its values count again as far as they raise. */
  tooLong(tag: string): void {
    const { parts, live, create } = this.#around
    const row = parts.tags.find(tag) ?? -1
    if (row < 0) return
    const instance = parts.instances.get(alarmId(inhibitTooLong.id, tag)) ?? create(inhibitTooLong, tag, row)
    live.feedAll(instance, 'T', parts.now)
    live.evaluateHeld(row)
  }
}
