import type { CompiledRule } from './compile.ts'
import { type AlarmEvent, type Command, none, type Step } from './event.ts'
import type { Effect, RefuseCode } from './journal-record.ts'
import { effect } from './settle.ts'
import { type AlarmState, isActive } from './state.ts'

export function acknowledge(state: AlarmState, event: AlarmEvent & { type: 'ack' }, rule: CompiledRule): Step {
  const { t, occ, ann } = event
  const waiting = state.late.find(one => one.occ === occ)
  if (waiting) {
    const next: AlarmState = { ...state, late: state.late.filter(one => one !== waiting) }
    const done = {
      ...effect('ACK', 'K1', t, state, next, waiting.level, waiting.value, true),
      ...who(event),
      occ,
      ann: 1,
      late: true,
    }
    return { state: next, effects: [done], refused: null }
  }
  if (occ > state.lastOcc || (occ === state.occ && ann > state.ann) || occ === 0)
    return refuse(state, event, 'unknown_occurrence')
  if (occ !== state.occ) return refuse(state, event, 'stale_ack') // K2
  if (state.k === 'a') return none(state) // K3
  if (ann < state.ann) return refuse(state, event, 'stale_ack') // K2
  // K1
  const next: AlarmState = {
    ...state,
    k: 'a',
    seen: false,
    peak: state.v >= 0 ? state.v : state.peak,
    ackedBy: event.actor,
    ackedAt: t,
  }
  const level = state.v >= 0 ? state.v : Math.min(state.peak, rule.levels.length - 1)
  return {
    state: next,
    effects: [{ ...effect('ACK', 'K1', t, state, next, level, state.value, true), ...who(event) }],
    refused: null,
  }
}

export function reset(state: AlarmState, event: AlarmEvent & { type: 'reset' }): Step {
  if (event.occ > state.lastOcc || event.occ === 0) return refuse(state, event, 'unknown_occurrence')
  if (event.occ !== state.occ) return refuse(state, event, 'stale_ack')
  // L2
  if (!state.l) return refuse(state, event, 'not_latched')
  if (state.k === 'u') return refuse(state, event, 'unacknowledged')
  if (isActive(state)) return refuse(state, event, 'active')
  if (state.f === 'due') return refuse(state, event, 'record_missing')
  const next: AlarmState = { ...state, l: false } // L1
  return {
    state: next,
    effects: [{ ...effect('RESET', 'L1', event.t, state, next, state.peak, state.value, true), ...who(event) }],
    refused: null,
  }
}

const who = (event: Command): Pick<Effect, 'actor' | 'commandId' | 'comment'> => ({
  actor: event.actor,
  commandId: event.commandId,
  ...(event.comment !== undefined && { comment: event.comment }),
})

function refuse(state: AlarmState, event: AlarmEvent & { type: 'ack' | 'reset' }, code: RefuseCode): Step {
  const cause = event.type === 'ack' ? 'K2' : 'L2'
  const record = effect(
    'REFUSE',
    cause,
    event.t,
    state,
    state,
    state.v >= 0 ? state.v : state.peak,
    state.value,
    false,
    code,
  )
  return { state, effects: [{ ...record, ...who(event), occ: event.occ }], refused: code }
}
