import { alarmId, type CompiledRule, compileRules } from './compile.ts'
import type { EngineInput } from './input.ts'
import type { Instance } from './instance.ts'
import type { LiveLane } from './live-lane.ts'
import { migrate } from './migrate.ts'
import type { EngineParts } from './parts.ts'
import type { Records } from './records.ts'
import type { Schedule } from './schedule.ts'
import { type Sources, sourceOf } from './sources.ts'
import { initialState, isOpen } from './state.ts'

interface Around {
  readonly parts: EngineParts
  readonly sources: Sources
  readonly schedule: Schedule
  readonly records: Records
  readonly live: LiveLane
}

/** Which alarms exist: rules times sources, as tags turn up and as rules change. */
export class Population {
  readonly #around: Around

  constructor(around: Around) {
    this.#around = around
  }

  /** Row of a tag; a tag never seen gets its alarms at once, −1 if no rule reads it. */
  rowOf(tag: string): number {
    const { parts, sources } = this.#around
    const known = parts.tags.find(tag)
    if (known !== undefined) return known
    if (!isRead(parts.rules, tag)) {
      parts.tags.ignore(tag)
      return -1
    }
    const row = parts.tags.add(tag)
    sources.addRow(row)
    this.#populate(row)
    return row
  }

  create(rule: CompiledRule, source: string, row: number): Instance {
    const { parts, sources, schedule } = this.#around
    const instance: Instance = {
      id: alarmId(rule.id, source),
      source,
      row,
      device: deviceOf(rule, source),
      rule,
      state: initialState(rule.levels.length),
      record: null,
      timerAt: null,
      reports: 0,
      reportedAt: 0,
    }
    parts.instances.set(instance.id, instance)
    sources.add(instance)
    schedule.arm(instance)
    return instance
  }

  /** New rules: what stays the same is not touched, what changed is judged again by the value that is held, what is gone ends. */
  configure(input: EngineInput & { kind: 'rules' }): boolean {
    const { parts, schedule, records, live } = this.#around
    if (input.hash === parts.rulesHash) return false
    const { rules, maxInhibitMs } = compileRules(input.files)
    parts.rules = rules
    parts.rulesHash = input.hash
    parts.maxInhibitMs = maxInhibitMs
    records.note('CONFIG', null, null, { reason: input.hash })
    parts.tags.forgetIgnored()
    const touched = new Set<number>()
    for (const instance of [...parts.instances.values()].sort((a, b) => (a.id < b.id ? -1 : 1))) {
      if (instance.rule.kind !== 'inhibit' && this.#change(instance, input.at)) touched.add(instance.row)
    }
    for (let row = 0; row < parts.tags.size; row++) if (this.#populate(row)) touched.add(row)
    for (let row = 0; row < parts.tags.size; row++) {
      if (touched.has(row) && parts.tags.qualityOf(row) !== null) live.evaluateHeld(row)
      else live.rest(row)
      schedule.armGap(row)
    }
    for (const tag of parts.selfInhibits.keys()) schedule.armSelfInhibit(tag)
    return true
  }

  /** True when something that decides about the alarm is different now. */
  #change(instance: Instance, at: number): boolean {
    const { parts, schedule, records, live } = this.#around
    const old = instance.rule
    const rule = parts.rules.find(one => one.id === old.id)
    if (!rule || rule.source !== old.source || rule.kind !== old.kind || !rule.matches(instance.source)) {
      instance.record = null
      live.commit(instance, { type: 'retire', t: at }, true)
      if (!isOpen(instance.state)) live.remove(instance)
      return false
    }
    instance.rule = rule
    records.changed(instance)
    if (rule.hash === old.hash) return false
    const { record } = instance
    if (record) instance.record = { ...record, state: migrate(record.state, old, rule, at).state, open: null }
    live.take(instance, migrate(instance.state, old, rule, at), true)
    schedule.arm(instance)
    return true
  }

  /** Makes the alarms that the rules want for a tag and its device; true when there are new ones. */
  #populate(row: number): boolean {
    const { parts, sources, live } = this.#around
    const tag = parts.tags.tags[row] ?? ''
    let news = false
    for (const rule of parts.rules) {
      if (rule.source === 'edge' || rule.at === 'edge') continue
      const source = sourceOf(rule, tag)
      if (!rule.matches(source)) continue
      const existing = parts.instances.get(alarmId(rule.id, source))
      if (existing && existing.state.e !== 'retired') continue
      if (existing) live.commit(existing, { type: 'enable' }, true)
      else this.create(rule, source, rule.source === 'tag' ? row : -1)
      news = true
    }
    sources.sort(row)
    return news
  }
}

/** Whether any rule reads the tag. */
export const isRead = (rules: readonly CompiledRule[], tag: string): boolean =>
  rules.some(rule => rule.source !== 'edge' && rule.matches(sourceOf(rule, tag)))

/** `site/device` of what a rule watches, null for an edge. */
export function deviceOf(rule: CompiledRule, source: string): string | null {
  if (rule.source === 'edge') return null
  return rule.source === 'device' ? source : source.slice(0, source.lastIndexOf('/'))
}
