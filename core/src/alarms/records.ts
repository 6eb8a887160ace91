import type { Reason } from '../reading.ts'
import type { Instance } from './instance.ts'
import type { Effect, JournalRecord } from './journal-record.ts'
import { journalText } from './journal-text.ts'
import type { EngineParts } from './parts.ts'

type Note = Partial<Pick<JournalRecord, 'reason' | 'activeSince' | 'returnedAt' | 'commandId'>>

/** The journal records that one input causes, numbered by the input's place in the inbox; and which alarms it changed. */
export class Records {
  readonly #parts: EngineParts
  readonly #changed = new Set<Instance>()
  #position = -1
  #firstIndex = 0
  #out: JournalRecord[] = []

  constructor(parts: EngineParts) {
    this.#parts = parts
  }

  begin(position: number, firstIndex: number): void {
    this.#position = position
    this.#firstIndex = firstIndex
    this.#out = []
  }

  get written(): readonly JournalRecord[] {
    return this.#out
  }

  changed(instance: Instance): void {
    this.#changed.add(instance)
  }

  takeChanged(): Instance[] {
    const changed = [...this.#changed]
    this.#changed.clear()
    return changed
  }

  /** What a step of an alarm wants written. */
  write(instance: Instance, effect: Effect, lane: 'live' | 'record'): void {
    const { rule, source } = instance
    const level = rule.levels[effect.level]
    const isNews = effect.kind === 'RAISE' || effect.kind === 'LEVEL'
    const reason = effect.reason ?? (isNews ? this.#readingReason(instance) : null)
    this.#out.push({
      kind: effect.kind,
      position: this.#position,
      index: this.#firstIndex + this.#out.length,
      at: effect.at,
      appliedAt: this.#parts.now,
      lane,
      cause: effect.cause,
      announce: effect.announce,
      alarm: instance.id,
      rule: rule.id,
      ruleHash: rule.hash,
      source,
      priority: level?.priority ?? null,
      level: level?.name ?? null,
      fromLevel: effect.fromLevel === undefined ? null : (rule.levels[effect.fromLevel]?.name ?? null),
      before: effect.before,
      after: effect.after,
      occ: effect.occ,
      ann: effect.ann,
      value: effect.value,
      limit: level?.limit ?? null,
      unit: rule.unit,
      reason,
      activeSince: effect.activeSince ?? null,
      returnedAt: effect.returnedAt ?? null,
      late: effect.late ?? false,
      count: effect.count ?? 1,
      actor: effect.actor ?? null,
      commandId: effect.commandId ?? null,
      comment: effect.comment ?? null,
      text: journalText(rule, source, level ?? null, effect.value, reason),
      route: rule.route,
    })
  }

  /** A record about a device, a tag or the engine itself. */
  note(kind: JournalRecord['kind'], source: string | null, actor: string | null, more: Note): void {
    this.#out.push({
      kind,
      position: this.#position,
      index: this.#firstIndex + this.#out.length,
      at: this.#parts.now,
      appliedAt: this.#parts.now,
      lane: 'live',
      cause: null,
      announce: false,
      alarm: null,
      rule: null,
      ruleHash: null,
      source,
      priority: null,
      level: null,
      fromLevel: null,
      before: null,
      after: null,
      occ: null,
      ann: null,
      value: null,
      limit: null,
      unit: null,
      reason: null,
      activeSince: null,
      returnedAt: null,
      late: false,
      count: 1,
      actor,
      commandId: null,
      comment: null,
      text: null,
      route: null,
      ...more,
    })
  }

  /** Why the tag of a quality rule is bad. */
  #readingReason({ rule, row }: Instance): Reason | null {
    return rule.kind === 'quality' && row >= 0 ? this.#parts.tags.reasonOf(row) : null
  }
}
