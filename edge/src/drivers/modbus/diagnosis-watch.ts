import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Unit } from './unit.ts'

const everyMs = 10_000
/** healthy traffic is told of less often */
const healthyMs = 60_000

/** Calls `changed` at most every 10 s for units whose counters of trouble moved, every minute for the others. */
export function watchDiagnoses(units: readonly Unit[], ticker: Ticker, changed: (unit: Unit) => void): Cancel {
  const last = new Map<Unit, { troubles: string; at: number }>()
  let cancel: Cancel = () => {}
  const look = () => {
    for (const unit of units) {
      const now = { troubles: troubles(unit), at: ticker.now() }
      const told = last.get(unit)
      if (told && told.troubles === now.troubles && now.at - told.at < healthyMs) continue
      last.set(unit, now)
      changed(unit)
    }
    cancel = ticker.after(everyMs, look)
  }
  cancel = ticker.after(everyMs, look)
  return () => cancel()
}

/** The counters that say that something is wrong; those of healthy traffic change always. */
function troubles({ diagnosis: { counters } }: Unit): string {
  const { requests: _, answers: __, scans: ___, ...rest } = counters
  return Object.values(rest).join()
}
