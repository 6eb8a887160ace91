import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Unit } from './unit.ts'

const everyMs = 10_000

/** Calls `changed` at most every 10 s for units whose counters of trouble moved. */
export function watchDiagnoses(units: readonly Unit[], ticker: Ticker, changed: (unit: Unit) => void): Cancel {
  const last = new Map<Unit, string>()
  let cancel: Cancel = () => {}
  const look = () => {
    for (const unit of units) {
      const counters = troubles(unit)
      if (last.get(unit) === counters) continue
      last.set(unit, counters)
      changed(unit)
    }
    cancel = ticker.after(everyMs, look)
  }
  cancel = ticker.after(everyMs, look)
  return () => cancel()
}

/** The counters that say that something is wrong; those of healthy traffic change always and are no news. */
function troubles({ diagnosis: { counters } }: Unit): string {
  const { requests: _, answers: __, scans: ___, ...rest } = counters
  return Object.values(rest).join()
}
