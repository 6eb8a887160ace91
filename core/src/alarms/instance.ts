import type { CompiledRule } from './compile.ts'
import type { AlarmState } from './state.ts'

/** The record instance of an alarm while its source is behind: a copy of the live state, folded over the durable readings. */
export interface RecordInstance {
  state: AlarmState
  /** event time and value of its newest reading, null before the first */
  time: number | null
  value: number | null
  /** the occurrence that is open in the record */
  open: { since: number; level: number; value: number | null } | null
  /** occurrences of the live instance since the copy was made; the last one may be open */
  liveOccurrences: { from: number; to: number }[]
}

/** One alarm: a rule applied to one source. */
export interface Instance {
  readonly id: string
  /** tag `site/device/tag`, device `site/device` or edge `group/edge` */
  readonly source: string
  /** row of the tag, −1 for devices and edges */
  readonly row: number
  /** `site/device`, null for edges */
  readonly device: string | null
  rule: CompiledRule
  state: AlarmState
  record: RecordInstance | null
  /** when its timer in the queue is due, null when it has none */
  timerAt: number | null
  /** reports in a row since it went stale */
  reports: number
  /** engine clock at the newest of them; several readings of one input are one report */
  reportedAt: number
}

/** No reading has to be looked at for a delay: none runs, or only off-delays, which end by the clock. */
const atRest = (state: AlarmState): boolean =>
  state.levels.every(({ c, due, remaining }) => remaining === null && c !== 'P' && (due === null || c === 'R'))

/**
 * The open interval in which no good value can change the state of any of these alarms: each level at rest gives one bound,
 * its set point while it is normal, its reset point while it is active. Empty unless everything is at rest.
 */
export function quietZone(instances: readonly Instance[]): { lo: number; hi: number } {
  let lo = Number.NEGATIVE_INFINITY
  let hi = Number.POSITIVE_INFINITY
  for (const { rule, state } of instances) {
    if (state.e !== 'on' || rule.kind === 'inhibit') continue
    if (rule.kind === 'stale' || rule.kind === 'quality') {
      if (state.v >= 0 || !atRest(state) || (rule.kind === 'quality' && state.h !== 'ok')) return empty
      continue
    }
    if (state.h !== 'ok' || !atRest(state)) return empty
    for (const [index, level] of rule.levels.entries()) {
      const condition = state.levels[index]?.c ?? 'N'
      const active = condition === 'A'
      // While the off-delay runs, whatever stays beyond the reset point changes nothing.
      const bound = condition === 'N' ? level.limit : level.reset
      if (bound === null) continue
      // A high level that is normal, or a low one that is active, is bounded from above.
      if ((level.side === 'high') !== active) hi = Math.min(hi, bound)
      else lo = Math.max(lo, bound)
    }
  }
  return { lo, hi }
}

const empty = { lo: Number.POSITIVE_INFINITY, hi: Number.NEGATIVE_INFINITY }

/** The next running delay of a state, null when none runs. */
export function nextDelay(state: AlarmState): number | null {
  let next: number | null = null
  for (const { due } of state.levels) if (due !== null && (next === null || due < next)) next = due
  return next
}
