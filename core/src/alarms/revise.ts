import type { CompiledRule } from './compile.ts'
import { type AlarmEvent, none, type Step } from './event.ts'
import type { Effect } from './journal-record.ts'
import { effect, settle, worst } from './settle.ts'
import { type AlarmState, severityOf } from './state.ts'

/** Late occurrences listed one by one; more are counted in the newest. */
export const maxLate = 50

/** V1: the durable readings are complete up to now; where the live ones said otherwise, that is journaled and mended. */
export function adopt(state: AlarmState, event: AlarmEvent & { type: 'adopt' }, rule: CompiledRule): Step {
  const v = worst(event.levels, rule)
  const value = event.value
  if (v === state.v) {
    const levels = event.levels
    const earlier =
      v >= 0 && event.activeSince !== null && state.activeSince !== null && event.activeSince < state.activeSince
    if (!earlier) return none({ ...state, levels })
    const next: AlarmState = { ...state, levels, activeSince: event.activeSince }
    const revised = {
      ...effect('REVISED', 'V1', event.t, state, next, v, value, false, 'began earlier'),
      activeSince: event.activeSince,
    }
    return { state: next, effects: [revised], refused: null }
  }
  const at = v >= 0 && state.v < 0 ? (event.activeSince ?? event.t) : event.t
  const result = settle(state, event.levels, at, value, rule, { raise: 'V1', rtn: 'V1' }, 'revised')
  const revised = effect(
    'REVISED',
    'V1',
    event.t,
    state,
    state,
    v >= 0 ? v : state.v,
    value,
    false,
    'the complete record says otherwise',
  )
  return { ...result, effects: [revised, ...result.effects] }
}

/** V2: an occurrence that began and ended before the gateway could know. High and critical ones are listed once. */
export function late(state: AlarmState, event: AlarmEvent & { type: 'late' }, rule: CompiledRule): Step {
  const level = rule.levels[event.level]
  const listed = level !== undefined && severityOf[level.priority] >= severityOf.high && !rule.autoAck
  const occ = state.lastOcc + 1
  const { value, activeSince, returnedAt } = event
  const newest = state.late.at(-1)
  const full = newest !== undefined && state.late.length >= maxLate
  const entry = { occ, level: event.level, value, activeSince, returnedAt, count: 1 }
  const worse = full && severity(rule, newest.level) > severity(rule, event.level) ? newest : entry
  const merged = full
    ? {
        ...entry,
        level: worse.level,
        value: worse.value,
        activeSince: Math.min(newest.activeSince, activeSince),
        returnedAt: Math.max(newest.returnedAt, returnedAt),
        count: newest.count + 1,
      }
    : entry
  const waiting = listed ? (full ? [...state.late.slice(0, -1), merged] : [...state.late, entry]) : state.late
  const next: AlarmState = { ...state, lastOcc: occ, late: waiting }
  const record: Effect = {
    ...effect('LATE_FINDING', 'V2', activeSince, state, next, event.level, value, listed),
    before: 'NORMAL',
    after: listed ? 'RTN_UNACK' : 'NORMAL',
    occ,
    ann: 1,
    activeSince,
    returnedAt,
    late: true,
  }
  return { state: next, effects: [record], refused: null }
}

const severity = (rule: CompiledRule, level: number): number => severityOf[rule.levels[level]?.priority ?? 'journal']
