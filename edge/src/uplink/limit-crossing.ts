import type { Reading } from '@penstock/core/reading.ts'

/** Where a value lies among the limits; a value on a limit is a place of its own. */
function place(value: number, limits: readonly number[]): number {
  let at = 0
  for (const limit of limits) {
    if (limit < value) at += 2
    else if (limit === value) at += 1
  }
  return at
}

/** Whether an alarm could change between the value that went out last and this one; without a number on one side it could. */
export function crossesLimit(before: Reading['value'] | undefined, now: Reading['value'], limits: readonly number[]) {
  if (before === undefined || typeof before === 'string' || typeof before === 'boolean') return before !== now
  if (before === null || now === null) return before !== now
  return place(Number(before), limits) !== place(Number(now), limits)
}
