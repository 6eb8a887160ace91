import type { Quality, Reason } from '../reading.ts'
import type { AlarmEngine } from './engine.ts'
import type { Instance } from './instance.ts'
import { journalText } from './journal-text.ts'
import { type Health, isActive, type Priority, type StateName, severityOf, stateName } from './state.ts'

interface Bilingual {
  readonly zh: string
  readonly en: string
}

/** One alarm as a person sees it. A late finding is a view of its own. */
export interface AlarmView {
  /** `rule@source` with `:` for `/`; of a late finding `rule@source~occ` */
  readonly id: string
  readonly rule: string
  readonly kind: string
  /** tag, device or edge */
  readonly source: string
  readonly site: string | null
  readonly device: string | null
  readonly priority: Priority
  readonly severity: number
  readonly state: StateName
  readonly active: boolean
  readonly acknowledged: boolean
  readonly latched: boolean
  readonly level: string | null
  readonly levelTitle: Bilingual | null
  /** newest value of the tag; of a late finding the value that raised it */
  readonly value: number | null
  readonly limit: number | null
  readonly unit: string | null
  readonly quality: Quality | null
  readonly reason: Reason | null
  /** not `ok`: the alarm may be blind */
  readonly health: Health
  readonly inhibitedUntil: number | null
  /** acknowledge with these two: they name what is shown here */
  readonly occ: number
  readonly ann: number
  /** when it was last announced */
  readonly announcedAt: number | null
  readonly activeSince: number | null
  readonly returnedAt: number | null
  readonly ackedBy: string | null
  readonly ackedAt: number | null
  readonly text: Bilingual
  readonly consequence: Bilingual | null
  readonly cause: Bilingual | null
  readonly action: { readonly zh: readonly string[]; readonly en: readonly string[] } | null
  /** over before the gateway could know of it */
  readonly late: boolean
  /** occurrences that this line stands for */
  readonly count: number
  readonly retired: boolean
}

/** The views of one instance: its present state first, then its late findings. */
export function viewsOf(engine: AlarmEngine, instance: Instance): AlarmView[] {
  const { rule, state, source } = instance
  const tag = engine.tagOf(instance)
  const shownLevel = isActive(state) && state.k === 'a' ? state.v : state.peak >= 0 ? state.peak : state.v
  const level = rule.levels[shownLevel] ?? null
  const [site = null, device = null] = rule.source === 'edge' ? [] : source.split('/')
  const common = {
    id: instance.id,
    rule: rule.id,
    kind: rule.kind,
    source,
    site,
    device,
    unit: rule.unit,
    health: state.h,
    inhibitedUntil: engine.inhibits.find(inhibit => inhibit.device === instance.device)?.until ?? null,
    consequence: rule.response?.consequence ?? null,
    cause: rule.response?.cause ?? null,
    action: rule.response?.action ?? null,
    retired: state.e === 'retired',
    quality: tag.quality,
    reason: tag.reason,
  }
  const value = rule.kind === 'limit' ? tag.value : null
  const worst = level ?? rule.levels[0] ?? null
  const present: AlarmView = {
    ...common,
    priority: worst?.priority ?? 'journal',
    severity: severityOf[worst?.priority ?? 'journal'],
    state: stateName(state),
    active: isActive(state),
    acknowledged: state.k === 'a',
    latched: state.l,
    level: level?.name ?? null,
    levelTitle: level?.title ?? null,
    value,
    limit: level?.limit ?? null,
    occ: state.occ,
    ann: state.ann,
    announcedAt: state.announcedAt,
    activeSince: state.activeSince,
    returnedAt: state.returnedAt,
    ackedBy: state.ackedBy,
    ackedAt: state.ackedAt,
    text: journalText(rule, source, level, value ?? state.value, tag.reason),
    late: false,
    count: 1,
  }
  const late = state.late.map((one): AlarmView => {
    const lateLevel = rule.levels[one.level] ?? null
    return {
      ...present,
      id: `${instance.id}~${one.occ}`,
      priority: lateLevel?.priority ?? 'journal',
      severity: severityOf[lateLevel?.priority ?? 'journal'],
      state: 'RTN_UNACK',
      active: false,
      acknowledged: false,
      latched: false,
      level: lateLevel?.name ?? null,
      levelTitle: lateLevel?.title ?? null,
      value: one.value,
      limit: lateLevel?.limit ?? null,
      occ: one.occ,
      ann: 1,
      announcedAt: one.returnedAt,
      activeSince: one.activeSince,
      returnedAt: one.returnedAt,
      ackedBy: null,
      ackedAt: null,
      text: journalText(rule, source, lateLevel, one.value, null),
      late: true,
      count: one.count,
    }
  })
  return [present, ...late]
}

/** Most urgent first: unacknowledged before acknowledged, then priority, then the newest. */
export function compareViews(a: AlarmView, b: AlarmView): number {
  return (
    Number(a.acknowledged) - Number(b.acknowledged) ||
    b.severity - a.severity ||
    (b.activeSince ?? 0) - (a.activeSince ?? 0) ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : a.occ - b.occ)
  )
}
