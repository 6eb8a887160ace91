import type { Cancel, Clock } from '@penstock/core/runtime/clock.ts'

const hourMs = 3_600_000
/** the clock is looked at as often as this, so that a clock that is set does not move the hour */
const lookMs = 60_000

/** Calls `run` at each full hour of the clock, with the hour. Hours are the same in UTC and at Shanghai. */
export function atFullHours(clock: Clock, run: (hour: number) => void): Cancel {
  let cancel: Cancel = () => {}
  let next = Math.floor(clock.now() / hourMs) * hourMs + hourMs
  const arm = () => {
    cancel = clock.after(Math.min(lookMs, Math.max(0, next - clock.now())), look)
  }
  const look = () => {
    const now = clock.now()
    const hour = Math.floor(now / hourMs) * hourMs
    const due = hour >= next
    // also when the clock was set back
    next = hour + hourMs
    arm()
    if (due) run(hour)
  }
  arm()
  return () => cancel()
}
