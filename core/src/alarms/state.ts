/**
 * The state of one alarm instance as independent regions, after the state models of ISA-18.2 and OPC 10000-9.
 * Every value is immutable: a step makes a new one, so a copy of a state is its reference.
 */

export const priorities = ['critical', 'high', 'medium', 'low', 'journal'] as const
/** `journal` is an event for the record only: no acknowledge, no message, not in the alarm list. */
export type Priority = (typeof priorities)[number]

/** Severity of OPC 10000-9, in five bands of 200. */
export const severityOf: Readonly<Record<Priority, number>> = {
  critical: 900,
  high: 700,
  medium: 500,
  low: 300,
  journal: 100,
}

/** C: normal, pending (on-delay runs), active, recovering (off-delay runs). A and R are "active". */
export type Condition = 'N' | 'P' | 'A' | 'R'

/** Region C of one level; times are event times, ms UTC. */
export interface LevelState {
  readonly c: Condition
  /** when the running delay ends; null: none runs, or it is paused */
  readonly due: number | null
  /** what was left of the delay when it was paused, ms */
  readonly remaining: number | null
  /** since when the condition has been true (P, A) or false (N, R) */
  readonly since: number
}

/** H: quality of the inputs. Shown as a badge on every state, so that a blind alarm never looks normal. */
export type Health = 'init' | 'ok' | 'uncertain' | 'bad' | 'stale' | 'inhibited'

/** S: an operator's act; `timed` until a time, `one-shot` until the present or next activation ends. */
export type Shelving = null | { readonly kind: 'timed' | 'one-shot'; readonly until: number }

/** An occurrence that was over before the gateway could know of it: RTN_UNACK (late) until acknowledged. */
export interface LateOccurrence {
  readonly occ: number
  readonly level: number
  readonly value: number | null
  readonly activeSince: number
  readonly returnedAt: number
  /** occurrences counted here; more than 1 only when too many were waiting to be listed one by one */
  readonly count: number
}

export interface AlarmState {
  /** C, one per level of the rule, in the order of the rule */
  readonly levels: readonly LevelState[]
  /** V: index of the worst active level, −1 when none is */
  readonly v: number
  /** K: acknowledged or not, and whether the unacknowledged announcement was shown at least once */
  readonly k: 'a' | 'u'
  readonly seen: boolean
  /** L: latched until reset */
  readonly l: boolean
  readonly s: Shelving
  /** D: causes that suppress by design */
  readonly d: readonly string[]
  /** O: taken out of service with a permit */
  readonly o: null | { readonly until: number | null; readonly permit: string }
  /** E: a retired one belongs to a rule or source that is gone and stays until acknowledged and reset */
  readonly e: 'on' | 'off' | 'retired'
  readonly h: Health
  /** F: response record demanded by the rule */
  readonly f: 'none' | 'due' | 'filed'
  /** occurrence that this state is about, 0 before the first; `lastOcc` is the highest ever given */
  readonly occ: number
  readonly lastOcc: number
  /** announcement inside the occurrence */
  readonly ann: number
  /** worst level of this occurrence that nobody has acknowledged yet, else the last level; −1 before the first */
  readonly peak: number
  readonly reCount: number
  readonly shelveCount: number
  readonly chatter: number
  /** value and limit as compared when it was last raised or changed its level */
  readonly value: number | null
  readonly conditionSince: number | null
  readonly activeSince: number | null
  readonly returnedAt: number | null
  readonly announcedAt: number | null
  readonly ackedBy: string | null
  readonly ackedAt: number | null
  readonly late: readonly LateOccurrence[]
}

const quiet: LevelState = { c: 'N', due: null, remaining: null, since: 0 }

/** States that differ only in level count and health, made once: most alarms never leave them. */
const pristine = new Map<string, AlarmState>()

/** An alarm that nothing has happened to. The same arguments give the same object. */
export function initialState(levels: number, h: Health = 'init'): AlarmState {
  const key = `${levels} ${h}`
  const made = pristine.get(key) ?? makeInitial(levels, h)
  pristine.set(key, made)
  return made
}

/** The state with another health. */
export function withHealth(state: AlarmState, h: Health): AlarmState {
  if (state.h === h) return state
  return state.lastOcc === 0 && state === initialState(state.levels.length, state.h)
    ? initialState(state.levels.length, h)
    : { ...state, h }
}

function makeInitial(levels: number, h: Health): AlarmState {
  return {
    levels: new Array<LevelState>(levels).fill(quiet),
    v: -1,
    k: 'a',
    seen: false,
    l: false,
    s: null,
    d: [],
    o: null,
    e: 'on',
    h,
    f: 'none',
    occ: 0,
    lastOcc: 0,
    ann: 0,
    peak: -1,
    reCount: 0,
    shelveCount: 0,
    chatter: 0,
    value: null,
    conditionSince: null,
    activeSince: null,
    returnedAt: null,
    announcedAt: null,
    ackedBy: null,
    ackedAt: null,
    late: [],
  }
}

/** Nothing ever happened to it but its health: can be made again from the rule. */
export const isPristine = (state: AlarmState): boolean =>
  state.lastOcc === 0 && !state.l && state.e === 'on' && state.levels.every(level => level.c === 'N')

export const isActive = (state: AlarmState): boolean => state.v >= 0
export const isSuppressed = (state: AlarmState): boolean => state.o !== null || state.d.length > 0 || state.s !== null
export const isShown = (state: AlarmState): boolean => state.e !== 'off' && !isSuppressed(state)
/** Somebody still has to do something about it. */
export const isOpen = (state: AlarmState): boolean =>
  isActive(state) || state.k === 'u' || state.l || state.late.length > 0

/** Names of ISA-18.2. */
export const stateNames = [
  'NORMAL',
  'UNACK',
  'ACK',
  'RTN_UNACK',
  'LATCH_UNACK',
  'LATCH_ACK',
  'SHELVED',
  'SUPPRESSED',
  'OUT_OF_SERVICE',
  'DISABLED',
] as const
export type StateName = (typeof stateNames)[number]

/** The name shown to a person: the first that applies. An unacknowledged one that was shown is not taken away by a suppression. */
export function stateName(state: AlarmState): StateName {
  if (state.e === 'off') return 'DISABLED'
  if (state.o) return 'OUT_OF_SERVICE'
  const keepsPlace = state.k === 'u' && state.seen
  if (state.d.length > 0 && !keepsPlace) return 'SUPPRESSED'
  if (state.s) return 'SHELVED'
  if (isActive(state)) return state.k === 'u' ? 'UNACK' : 'ACK'
  if (state.l) return state.k === 'u' ? 'LATCH_UNACK' : 'LATCH_ACK'
  return state.k === 'u' ? 'RTN_UNACK' : 'NORMAL'
}
