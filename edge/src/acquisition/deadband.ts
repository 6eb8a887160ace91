import type { Quality, Reason, Value } from '@penstock/core/reading.ts'

/** What is compared: the last reported state of a tag, and the new one. */
export interface TagValue {
  readonly value: Value | null
  readonly quality: Quality
  readonly reason: Reason | null
}

export interface ReportRule {
  /** smallest change worth reporting; null: every change */
  readonly deadband: number | null
  readonly heartbeatMs: number
  /** sorted set and reset points of the alarm rules; null: not known, then every change is reported */
  readonly limits: readonly number[] | null
}

/**
 * Whether a reading is worth sending: quality or reason changed, the heartbeat is due, it changed by the deadband, or it lies
 * on another side of an alarm limit than the last reported one. So the alarms of the reported readings are those of all.
 */
export function worthReporting(
  last: TagValue,
  lastReportedAt: number,
  next: TagValue,
  now: number,
  rule: ReportRule,
): boolean {
  if (next.quality !== last.quality || next.reason !== last.reason) return true
  const since = now - lastReportedAt
  // a clock that was set back makes the heartbeat due
  if (since >= rule.heartbeatMs || since < 0) return true
  const before = last.value
  const after = next.value
  if (before === after) return false
  if (rule.deadband === null || rule.limits === null) return true
  if (typeof before !== 'number' || typeof after !== 'number') return true
  if (Math.abs(after - before) >= rule.deadband) return true
  return rule.limits.length > 0 && side(before, rule.limits) !== side(after, rule.limits)
}

/**
 * Where a value lies among sorted limits: twice the number of limits below it, one more when it is equal to the next. Being
 * equal is a side of its own, so that `>` and `>=`, set and reset, all see their crossing.
 */
export function side(value: number, limits: readonly number[]): number {
  let below = 0
  for (const limit of limits) {
    if (limit > value) break
    if (limit === value) return 2 * below + 1
    below++
  }
  return 2 * below
}
