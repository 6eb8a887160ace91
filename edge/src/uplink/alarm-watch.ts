import type { AlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import type { Reading } from '@penstock/core/reading.ts'
import { crossesLimit } from './limit-crossing.ts'

/** Sees which readings may change an alarm, so that they do not wait for the next sync with the others. */
export class AlarmWatch {
  readonly #last = new Map<string, Reading['value']>()

  /** Whether one of them lies on another side of a set or reset point than its tag did before; each is remembered. */
  concerns(readings: readonly Reading[], limits: AlarmLimits | null): boolean {
    if (!limits || limits.size === 0) return false
    let found = false
    for (const { tag, value } of readings) {
      const own = limits.get(tag)
      if (!own) continue
      if (crossesLimit(this.#last.get(tag), value, own)) found = true
      this.#last.set(tag, value)
    }
    return found
  }
}
