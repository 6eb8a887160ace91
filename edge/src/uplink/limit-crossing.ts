import type { Reading } from '@penstock/core/reading.ts'
import { side } from '../acquisition/deadband.ts'

/** Whether an alarm could change between the value that went out last and this one; without a number on one side it could. */
export function crossesLimit(before: Reading['value'] | undefined, now: Reading['value'], limits: readonly number[]) {
  if (before === undefined || typeof before === 'string' || typeof before === 'boolean') return before !== now
  if (before === null || now === null) return before !== now
  return side(Number(before), limits) !== side(Number(now), limits)
}
