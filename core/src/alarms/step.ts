import { acknowledge, reset } from './acknowledge.ts'
import type { CompiledLevel, CompiledRule } from './compile.ts'
import { type AlarmEvent, none, type Step, type Zone } from './event.ts'
import type { Effect } from './journal-record.ts'
import { adopt, late } from './revise.ts'
import { settle } from './settle.ts'
import { type AlarmState, type Health, type LevelState, withHealth } from './state.ts'

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
      return reset(state, event)
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
  const seen = chatter === state.chatter ? withHealth(state, h) : { ...state, h, chatter }
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
  if (!running) return withHealth(state, h)
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

/** E4: the rule or its source is gone. The condition ends, acknowledgement and latch stay. */
function retire(state: AlarmState, t: number, rule: CompiledRule): Step {
  if (state.e === 'retired') return none(state)
  const levels = state.levels.map(level =>
    level.c === 'N' ? level : { c: 'N' as const, due: null, remaining: null, since: t },
  )
  return settle({ ...state, e: 'retired' }, levels, t, state.value, rule, { raise: 'E4', rtn: 'E4' }, 'retired')
}
