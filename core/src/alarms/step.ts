import type { CompiledLevel, CompiledRule } from './compile.ts'
import type { Effect, JournalKind, RefuseCode, TransitionId } from './journal-record.ts'
import { type AlarmState, type Health, isActive, isShown, type LevelState, severityOf, stateName } from './state.ts'

/** A value seen by one level: in the alarm zone, inside the deadband, outside. */
export type Zone = 'T' | 'M' | 'F'

export type AlarmEvent =
  /** `raiseOnly`: an uncertain value may raise, never clear */
  | {
      readonly type: 'sample'
      readonly t: number
      readonly value: number | null
      readonly zones: readonly Zone[]
      readonly raiseOnly: boolean
    }
  | { readonly type: 'unknown'; readonly t: number; readonly health: Health }
  /** delays that end before `upTo`, or at it when not `strict`; `value` is the one held */
  | { readonly type: 'timers'; readonly upTo: number; readonly strict: boolean; readonly value: number | null }
  | ({ readonly type: 'ack'; readonly ann: number } & Command)
  | ({ readonly type: 'reset' } & Command)
  | { readonly type: 'retire'; readonly t: number }
  | { readonly type: 'enable' }
  /** the complete record has caught up: its levels stand */
  | {
      readonly type: 'adopt'
      readonly t: number
      readonly levels: readonly LevelState[]
      readonly activeSince: number | null
      readonly value: number | null
    }
  | {
      readonly type: 'late'
      readonly level: number
      readonly value: number | null
      readonly activeSince: number
      readonly returnedAt: number
    }

interface Command {
  readonly t: number
  readonly occ: number
  readonly actor: string
  readonly commandId: string
  readonly comment?: string
}

export interface Step {
  readonly state: AlarmState
  readonly effects: readonly Effect[]
  /** set when the event was a command and was not carried out */
  readonly refused: RefuseCode | null
}

/** Late occurrences listed one by one; more are counted in the newest. */
export const maxLate = 50

const none = (state: AlarmState): Step => ({ state, effects: [], refused: null })

/**
 * The transition table. Pure: the same state, event and rule give the same step; no clock, no randomness.
 * The comments name the row of the table (docs/alarms.md) that each branch is.
 */
export function step(state: AlarmState, event: AlarmEvent, rule: CompiledRule): Step {
  switch (event.type) {
    case 'sample':
      return sample(state, event, rule)
    case 'unknown':
      return none(unknown(state, event.t, event.health))
    case 'timers':
      return timers(state, event, rule)
    case 'ack':
      return acknowledge(state, event, rule)
    case 'reset':
      return reset(state, event, rule)
    case 'retire':
      return retire(state, event.t, rule)
    case 'enable': // E3: evaluated at the next sample, nothing is sent
      return none({ ...state, e: 'on', h: 'init' })
    case 'adopt':
      return adopt(state, event, rule)
    case 'late':
      return late(state, event, rule)
  }
}

const on = (level: LevelState): boolean => level.c === 'A' || level.c === 'R'

function sample(state: AlarmState, event: AlarmEvent & { type: 'sample' }, rule: CompiledRule): Step {
  const { t, zones, raiseOnly } = event
  const h: Health = raiseOnly ? 'uncertain' : 'ok'
  let chatter = state.chatter
  const moved = state.levels.map((level, index) => {
    const zone = zones[index] ?? 'F'
    const compiled = rule.levels[index]
    if (!compiled) return level
    // Q5: of an uncertain value only "in the zone" is used; a running off-delay waits for a good one.
    if (raiseOnly && zone !== 'T') return level.c === 'R' ? pause(level, t) : level
    const next = move(resume(level, t), zone, t, compiled) // Q4: delays go on with what was left, then the sample counts
    if (level.c === 'R' && next.c === 'A') chatter += 1
    return next
  })
  const levels = lift(moved, zones, t, rule)
  const seen = state.h === h && state.chatter === chatter ? state : { ...state, h, chatter }
  return settle(seen, levels, t, event.value, rule, { raise: 'C2', rtn: 'C7' })
}

function move(level: LevelState, zone: Zone, t: number, rule: CompiledLevel): LevelState {
  switch (level.c) {
    case 'N':
      if (zone !== 'T') return level
      return rule.onDelayMs > 0
        ? { c: 'P', due: t + rule.onDelayMs, remaining: null, since: t } // C1
        : { c: 'A', due: null, remaining: null, since: t } // C2
    case 'P':
      return zone === 'T' ? level : { c: 'N', due: null, remaining: null, since: t } // C5, C4
    case 'A':
      if (zone !== 'F') return level // C8
      return rule.offDelayMs > 0
        ? { c: 'R', due: t + rule.offDelayMs, remaining: null, since: t } // C6
        : { c: 'N', due: null, remaining: null, since: t } // C7
    case 'R':
      return zone === 'F' ? level : { c: 'A', due: null, remaining: null, since: t } // C9
  }
}

/** A worse level that is active makes the milder ones of its side active: their on-delay has nothing left to wait for. */
function lift(
  levels: readonly LevelState[],
  zones: readonly Zone[] | null,
  t: number,
  rule: CompiledRule,
): readonly LevelState[] {
  let result = levels
  for (const [index, level] of levels.entries()) {
    const compiled = rule.levels[index]
    if (!compiled || (level.c !== 'P' && !(level.c === 'N' && zones?.[index] === 'T'))) continue
    const worse = levels.some((other, place) => {
      const above = rule.levels[place]
      return above !== undefined && other.c === 'A' && above.side === compiled.side && above.rank > compiled.rank
    })
    if (worse)
      result = result.with(index, { c: 'A', due: null, remaining: null, since: level.c === 'P' ? level.since : t })
  }
  return result
}

const pause = (level: LevelState, t: number): LevelState =>
  level.due === null ? level : { ...level, due: null, remaining: Math.max(0, level.due - t) }

const resume = (level: LevelState, t: number): LevelState =>
  level.remaining === null ? level : { ...level, due: t + level.remaining, remaining: null }

/** Q1: an unknown value changes nothing and pauses the delays. B1: so does a start of the engine. */
function unknown(state: AlarmState, t: number, h: Health): AlarmState {
  const running = state.levels.some(level => level.due !== null)
  if (!running) return state.h === h ? state : { ...state, h }
  return { ...state, h, levels: state.levels.map(level => pause(level, t)) }
}

function timers(state: AlarmState, event: AlarmEvent & { type: 'timers' }, rule: CompiledRule): Step {
  let current = state
  const effects: Effect[] = []
  for (;;) {
    const at = nextDue(current.levels, event)
    if (at === null) break
    // Delays that end in the same instant end together.
    const ended = current.levels.map((level): LevelState => {
      if (level.due !== at) return level
      return level.c === 'P'
        ? { c: 'A', due: null, remaining: null, since: level.since } // C3
        : { c: 'N', due: null, remaining: null, since: at } // C10
    })
    const result = settle(current, lift(ended, null, at, rule), at, event.value, rule, { raise: 'C3', rtn: 'C10' })
    current = result.state
    effects.push(...result.effects)
  }
  return { state: current, effects, refused: null }
}

function nextDue(levels: readonly LevelState[], { upTo, strict }: { upTo: number; strict: boolean }): number | null {
  let next: number | null = null
  for (const { due } of levels) {
    if (due === null || due > upTo || (strict && due === upTo)) continue
    if (next === null || due < next) next = due
  }
  return next
}

/** The worst active level, −1 when none is. */
export function worst(levels: readonly LevelState[], rule: CompiledRule): number {
  let best = -1
  for (const [index, level] of levels.entries()) {
    if (!on(level)) continue
    if (best < 0 || (rule.levels[index]?.rank ?? 0) > (rule.levels[best]?.rank ?? 0)) best = index
  }
  return best
}

interface Causes {
  readonly raise: TransitionId
  readonly rtn: TransitionId
}

/** What new levels mean for the alarm: nothing, a new occurrence, another level, or the return to normal. */
function settle(
  before: AlarmState,
  levels: readonly LevelState[],
  at: number,
  value: number | null,
  rule: CompiledRule,
  causes: Causes,
  reason?: string,
): Step {
  const v = worst(levels, rule)
  const same = levels.every((level, index) => level === before.levels[index])
  if (v === before.v) return none(same ? before : { ...before, levels })
  if (before.v < 0) return raise(before, levels, v, at, value, rule, causes.raise, reason)
  if (v < 0) return returned(before, levels, at, value, causes.rtn, reason)
  return changeLevel(before, levels, v, at, value, rule, reason)
}

const needsAck = (level: CompiledLevel | undefined, rule: CompiledRule): boolean =>
  level !== undefined && level.priority !== 'journal' && !rule.autoAck

function raise(
  before: AlarmState,
  levels: readonly LevelState[],
  v: number,
  at: number,
  value: number | null,
  rule: CompiledRule,
  cause: TransitionId,
  reason?: string,
): Step {
  const level = rule.levels[v]
  const unacked = needsAck(level, rule)
  const announce = level?.priority !== 'journal' && isShown(before)
  const occ = before.lastOcc + 1
  const state: AlarmState = {
    ...before,
    levels,
    v,
    k: unacked ? 'u' : 'a',
    seen: unacked && announce,
    l: before.l || (level?.latch ?? false),
    occ,
    lastOcc: occ,
    ann: 1,
    peak: v,
    reCount: 0,
    value,
    conditionSince: levels[v]?.since ?? at,
    activeSince: at,
    returnedAt: null,
    announcedAt: announce ? at : null,
    ackedBy: null,
    ackedAt: null,
  }
  return { state, effects: [effect('RAISE', cause, at, before, state, v, value, announce, reason)], refused: null }
}

function changeLevel(
  before: AlarmState,
  levels: readonly LevelState[],
  v: number,
  at: number,
  value: number | null,
  rule: CompiledRule,
  reason?: string,
): Step {
  const from = rule.levels[before.v]
  const to = rule.levels[v]
  // A jump to the other side (from too high to too low) is news, whatever the ranks.
  const up = (to?.rank ?? 0) > (from?.rank ?? 0) || to?.side !== from?.side
  if (!up) {
    // C12: the acknowledgement stays as it is and nothing sounds
    const state: AlarmState = { ...before, levels, v, peak: before.k === 'u' ? before.peak : v, value }
    return {
      state,
      effects: [{ ...effect('LEVEL', 'C12', at, before, state, v, value, false, reason), fromLevel: before.v }],
      refused: null,
    }
  }
  // C11
  const unacked = needsAck(to, rule)
  const announce = to?.priority !== 'journal' && isShown(before)
  const state: AlarmState = {
    ...before,
    levels,
    v,
    k: unacked ? 'u' : before.k,
    seen: unacked ? announce : before.seen,
    l: before.l || (to?.latch ?? false),
    ann: before.ann + 1,
    peak: v,
    value,
    announcedAt: announce ? at : before.announcedAt,
    ...(unacked && { ackedBy: null, ackedAt: null }),
  }
  return {
    state,
    effects: [{ ...effect('LEVEL', 'C11', at, before, state, v, value, announce, reason), fromLevel: before.v }],
    refused: null,
  }
}

/** C7, C10 and with them C13: an unacknowledged alarm stays in the list; one that nobody was shown is closed and journaled so. */
function returned(
  before: AlarmState,
  levels: readonly LevelState[],
  at: number,
  value: number | null,
  cause: TransitionId,
  reason?: string,
): Step {
  const state: AlarmState = { ...before, levels, v: -1, reCount: 0, value, returnedAt: at, conditionSince: null }
  const announce = before.announcedAt !== null && isShown(before)
  const level = before.v
  return {
    state,
    effects: [
      {
        ...effect('RTN', cause, at, before, state, level, value, announce, reason),
        activeSince: before.activeSince,
        returnedAt: at,
      },
    ],
    refused: null,
  }
}

function acknowledge(state: AlarmState, event: AlarmEvent & { type: 'ack' }, rule: CompiledRule): Step {
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

function reset(state: AlarmState, event: AlarmEvent & { type: 'reset' }, _rule: CompiledRule): Step {
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

/** E4: the rule or its source is gone. The condition ends, acknowledgement and latch stay. */
function retire(state: AlarmState, t: number, rule: CompiledRule): Step {
  if (state.e === 'retired') return none(state)
  const levels = state.levels.map(level =>
    level.c === 'N' ? level : { c: 'N' as const, due: null, remaining: null, since: t },
  )
  return settle({ ...state, e: 'retired' }, levels, t, state.value, rule, { raise: 'E4', rtn: 'E4' }, 'retired')
}

/** V1: the durable readings are complete up to now; where the live ones said otherwise, that is journaled and mended. */
function adopt(state: AlarmState, event: AlarmEvent & { type: 'adopt' }, rule: CompiledRule): Step {
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
function late(state: AlarmState, event: AlarmEvent & { type: 'late' }, rule: CompiledRule): Step {
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

function effect(
  kind: JournalKind,
  cause: TransitionId | null,
  at: number,
  before: AlarmState,
  after: AlarmState,
  level: number,
  value: number | null,
  announce: boolean,
  reason?: string,
): Effect {
  return {
    kind,
    cause,
    at,
    announce,
    before: stateName(before),
    after: stateName(after),
    level,
    occ: after.occ,
    ann: after.ann,
    value,
    ...(reason !== undefined && { reason }),
  }
}

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
