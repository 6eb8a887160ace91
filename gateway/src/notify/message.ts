import { severityOf } from '@penstock/core/alarms/state.ts'
import type { StoredRecord } from '../alarms/journal.ts'

interface Bilingual {
  readonly zh: string
  readonly en: string
}

interface Place {
  readonly id: string
  readonly name: Bilingual | null
}

/** What a message says beside the journal record; all of it may be unknown. */
export interface MessageContext {
  readonly site: Place | null
  readonly device: Place | null
  /** `group/edge`, for an alarm of an edge */
  readonly edge: string | null
  readonly consequence: Bilingual | null
  readonly action: { readonly zh: readonly string[]; readonly en: readonly string[] } | null
  /** page of the alarm in the console */
  readonly link: string | null
}

/** Whether people are told: announcements, returns, acknowledges. */
export const isMessage = (record: StoredRecord): boolean => record.announce && record.alarm !== null

/** Body of a webhook call (docs/webhook.md); fields are added, never changed. */
export function messageBody(record: StoredRecord, context: MessageContext): string {
  return JSON.stringify({
    version: 1,
    delivery: String(record.seq),
    kind: record.kind,
    at: new Date(record.at).toISOString(),
    alarm: record.alarm,
    rule: record.rule,
    route: record.route,
    priority: record.priority,
    severity: record.priority ? severityOf[record.priority] : null,
    state: record.after,
    previousState: record.before,
    level: record.level,
    previousLevel: record.fromLevel,
    value: record.value,
    limit: record.limit,
    unit: record.unit,
    reason: record.reason,
    source: record.source,
    site: context.site,
    device: context.device,
    edge: context.edge,
    occurrence: record.occ,
    announcement: record.ann,
    activeSince: iso(record.activeSince ?? (record.kind === 'RAISE' ? record.at : null)),
    returnedAt: iso(record.returnedAt),
    late: record.late,
    count: record.count,
    actor: record.actor,
    comment: record.comment,
    text: record.text,
    consequence: context.consequence,
    action: context.action,
    link: context.link,
  })
}

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString())
