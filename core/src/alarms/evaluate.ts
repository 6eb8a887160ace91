import type { Quality, Reason, Value } from '../reading.ts'
import type { CompiledLevel, CompiledRule } from './compile.ts'
import type { AlarmEvent, Zone } from './event.ts'
import type { Health } from './state.ts'

/** Where a value lies for one level. The deadband acts only on the way back. */
export function zoneOf(level: CompiledLevel, value: number): Zone {
  const { limit, reset } = level
  if (limit === null || reset === null) return 'F'
  if (level.side === 'high') {
    if (level.inclusive ? value >= limit : value > limit) return 'T'
    return (level.inclusive ? value < reset : value <= reset) ? 'F' : 'M'
  }
  if (level.inclusive ? value <= limit : value < limit) return 'T'
  return (level.inclusive ? value > reset : value >= reset) ? 'F' : 'M'
}

/** A number of what an instrument reports; null for texts. */
export function numberOf(value: Value | null): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'boolean') return value ? 1 : 0
  return null
}

/** Reasons of `bad` that a quality rule leaves alone unless it names them: one alarm of the edge instead of one per instrument. */
const notTheInstrument: ReadonlySet<Reason> = new Set<Reason>(['edge-offline', 'retired'])

/**
 * What a reading is to a rule: a sample with a zone per level, or unknown.
 * A reading that is uncertain only for its stamp counts as good: liveness is not decided by the stamp.
 */
export function evaluate(
  rule: CompiledRule,
  value: number | null,
  quality: Quality,
  reason: Reason | null,
  t: number,
): AlarmEvent {
  const trusted = quality === 'good' || (quality === 'uncertain' && reason === 'clock')
  if (rule.kind === 'quality') return evaluateQuality(rule, trusted, quality, reason, t)
  if (rule.kind === 'stale') {
    return { type: 'sample', t, value, zones: rule.levels.map(() => 'F'), raiseOnly: false }
  }
  if (quality === 'bad' || value === null) return { type: 'unknown', t, health: 'bad' }
  if (!trusted && rule.onUncertain === 'as_bad') return { type: 'unknown', t, health: 'bad' }
  const raiseOnly = !trusted && rule.onUncertain === 'raise_only'
  return { type: 'sample', t, value, zones: rule.levels.map(level => zoneOf(level, value)), raiseOnly }
}

function evaluateQuality(
  rule: CompiledRule,
  trusted: boolean,
  quality: Quality,
  reason: Reason | null,
  t: number,
): AlarmEvent {
  const counts = rule.reasons ? reason !== null && rule.reasons.has(reason) : !(reason && notTheInstrument.has(reason))
  if (quality === 'bad' && !counts && !rule.reasons) return { type: 'unknown', t, health: healthOf(quality, reason) }
  const bad = quality === 'bad' && counts
  const uncertain = quality === 'uncertain' && !trusted && counts
  const zones = rule.levels.map((level): Zone => ((level.name === 'UNCERTAIN' ? uncertain || bad : bad) ? 'T' : 'F'))
  return { type: 'sample', t, value: null, zones, raiseOnly: false }
}

/** Badge of an alarm whose input has this quality. */
export function healthOf(quality: Quality, reason: Reason | null): Health {
  if (quality === 'good' || reason === 'clock') return 'ok'
  return quality === 'uncertain' ? 'uncertain' : 'bad'
}
