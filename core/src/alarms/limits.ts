import { type AlarmLimits, alarmLimitsHash } from '../delivery/alarm-limits.ts'
import type { CompiledRule } from './compile.ts'

/**
 * The set points and reset points of all rules, per tag, sorted: what an edge must know so that no deadband hides an alarm.
 * A tag that a limit rule does not read has no entry.
 */
export function alarmLimits(
  rules: readonly CompiledRule[],
  tags: Iterable<string>,
): { hash: string; limits: AlarmLimits } {
  const limits = new Map<string, readonly number[]>()
  for (const tag of tags) {
    const points = new Set<number>()
    for (const rule of rules) {
      if (rule.kind !== 'limit' || rule.source !== 'tag' || !rule.matches(tag)) continue
      for (const { limit, reset } of rule.levels) {
        if (limit !== null) points.add(limit)
        if (reset !== null) points.add(reset)
      }
    }
    if (points.size > 0)
      limits.set(
        tag,
        [...points].sort((a, b) => a - b),
      )
  }
  return { hash: alarmLimitsHash(limits), limits }
}

/**
 * Whether two values lie on different sides of one of the limits. A value on a limit is a side of its own: one rule takes
 * it for reached (≥, ≤), another for not yet (>, <).
 */
export function crossesLimit(limits: readonly number[], last: number, now: number): boolean {
  return limits.some(limit => Math.sign(last - limit) !== Math.sign(now - limit))
}
