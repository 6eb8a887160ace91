import type { CompiledLevel, CompiledRule } from './compile.ts'
import { none, type Step } from './event.ts'
import type { Effect, JournalKind, TransitionId } from './journal-record.ts'
import { type AlarmState, isShown, type LevelState, stateName } from './state.ts'

const on = (level: LevelState): boolean => level.c === 'A' || level.c === 'R'

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
export function settle(
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

export const needsAck = (level: CompiledLevel | undefined, rule: CompiledRule): boolean =>
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

export function effect(
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
