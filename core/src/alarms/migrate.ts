import type { CompiledRule } from './compile.ts'
import { none, type Step } from './event.ts'
import { effect, needsAck, worst } from './settle.ts'
import { type AlarmState, isActive, type LevelState, severityOf } from './state.ts'

/**
 * The state under another version of its rule (levels are the same when their names are): what is active stays active until
 * a sample says otherwise, running delays get their new length, a level that is gone is over.
 */
export function migrate(state: AlarmState, old: CompiledRule, rule: CompiledRule, t: number): Step {
  const place = (index: number): number => {
    const name = old.levels[index]?.name
    return name === undefined ? -1 : rule.levels.findIndex(level => level.name === name)
  }
  const quiet: LevelState = { c: 'N', due: null, remaining: null, since: t }
  const levels = rule.levels.map(level => {
    const before = state.levels[old.levels.findIndex(candidate => candidate.name === level.name)]
    if (!before) return quiet
    const delay = before.c === 'P' ? level.onDelayMs : level.offDelayMs
    return before.due === null ? before : { ...before, due: before.since + delay }
  })
  const keep = (index: number): number => (index < 0 ? -1 : Math.max(0, place(index)))
  const v = worst(levels, rule)
  const moved: AlarmState = {
    ...state,
    levels,
    v: state.v >= 0 && v >= 0 ? v : state.v >= 0 ? -1 : v,
    peak: keep(state.peak),
    late: state.late.map(one => ({ ...one, level: keep(one.level) })),
  }
  if (state.v >= 0 && v < 0) {
    const ended: AlarmState = { ...moved, v: -1, returnedAt: t, conditionSince: null }
    const record = {
      ...effect('RTN', 'E4', t, state, ended, keep(state.v), state.value, true, 'config'),
      activeSince: state.activeSince,
      returnedAt: t,
    }
    return { state: ended, effects: [record], refused: null }
  }
  // A raised priority is news to whoever acknowledged the alarm at its old one.
  const before = old.levels[state.v >= 0 ? state.v : state.peak]
  const after = rule.levels[moved.v >= 0 ? moved.v : moved.peak]
  const raised = before && after && severityOf[after.priority] > severityOf[before.priority]
  if (raised && (isActive(moved) || moved.k === 'u') && needsAck(after, rule)) {
    const next: AlarmState = {
      ...moved,
      k: 'u',
      seen: true,
      ann: moved.ann + 1,
      announcedAt: t,
      ackedBy: null,
      ackedAt: null,
    }
    const record = effect(
      'CONFIG',
      null,
      t,
      state,
      next,
      next.v >= 0 ? next.v : next.peak,
      next.value,
      true,
      'priority raised',
    )
    return { state: next, effects: [record], refused: null }
  }
  return none(moved)
}
