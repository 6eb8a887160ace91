import { createHash } from 'node:crypto'
import type { Parsed } from './wire.ts'

/** Limits of the alarm rules per tag `site/device/tag`, sorted: no deadband may hide that one was crossed. */
export type AlarmLimits = ReadonlyMap<string, readonly number[]>

/** The same limits have the same hash, whatever the order they were made in; "" is kept for "none known". */
export function alarmLimitsHash(limits: AlarmLimits): string {
  return createHash('sha256')
    .update(JSON.stringify(canonical(limits)))
    .digest('hex')
    .slice(0, 32)
}

/** Value of NCMD metric `Node Control/Alarm Limits`. */
export const formatAlarmLimits = (limits: AlarmLimits): string =>
  JSON.stringify({ hash: alarmLimitsHash(limits), limits: canonical(limits) })

/** Never throws. A hash that is not that of the limits is a problem: the text was damaged or made by somebody else. */
export function parseAlarmLimits(text: string): Parsed<{ hash: string; limits: AlarmLimits }> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { value: null, problem: 'not JSON' }
  }
  if (typeof json !== 'object' || json === null || !('hash' in json) || !('limits' in json)) {
    return { value: null, problem: 'without hash or limits' }
  }
  const { hash, limits: said } = json
  if (typeof said !== 'object' || said === null || Array.isArray(said))
    return { value: null, problem: 'without limits' }
  const limits = new Map<string, readonly number[]>()
  for (const [tag, values] of Object.entries(said)) {
    if (!Array.isArray(values) || !values.every(value => typeof value === 'number' && Number.isFinite(value))) {
      return { value: null, problem: `limits of ${tag} are not numbers` }
    }
    limits.set(
      tag,
      values.toSorted((a: number, b: number) => a - b),
    )
  }
  const own = alarmLimitsHash(limits)
  return own === hash ? { value: { hash: own, limits }, problem: null } : { value: null, problem: 'with a wrong hash' }
}

function canonical(limits: AlarmLimits): Record<string, readonly number[]> {
  const sorted = [...limits].sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(sorted.map(([tag, values]) => [tag, [...new Set(values)].sort((a, b) => a - b)]))
}
