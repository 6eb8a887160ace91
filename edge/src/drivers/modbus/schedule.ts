import type { Job, Unit } from './unit.ts'

/** phases are multiples of this: devices that are due together share a turn of the event loop */
const phaseStepMs = 25

/** scans that are slower than this are done once out of turn at the start */
const promptMs = 2000

/** Spreads the scans of the units over their periods, so that the devices of a channel do not queue behind each other. */
export function spreadPhases(units: readonly Unit[], channelPhase: number, now: number): void {
  for (const [index, unit] of units.entries()) {
    for (const { periodMs, job } of unit.periodic) {
      const share = (index + channelPhase) / units.length
      const step = Math.min(phaseStepMs, periodMs / 4)
      job.dueAt = now + Math.floor((periodMs * share) / step) * step
      // After a start nobody waits a minute for the first value of a slow tag.
      job.early = periodMs > promptMs
    }
  }
}

/**
 * Starts the jobs of a unit that are due and hands them to `begun`; returns when the next one is. Due times stay on the
 * grid of the phase: no drift. A cycle that cannot begin because the last one is not over is counted as missed and not
 * made up for.
 */
export function startDue(unit: Unit, now: number, begun: (job: Job) => void): number {
  let next = Number.POSITIVE_INFINITY
  for (const { periodMs, job } of unit.periodic) {
    const due = job.dueAt <= now
    if (due || job.early) {
      const periods = due ? Math.floor((now - job.dueAt) / periodMs) + 1 : 0
      job.dueAt += periods * periodMs
      const began = !job.running && job.start()
      if (began) begun(job)
      // a run that is wanted out of turn and cannot begin yet stays wanted
      job.early = job.early && !began
      unit.diagnosis.counters.missedScans += began ? Math.max(0, periods - 1) : periods
    }
    if (job.dueAt < next) next = job.dueAt
  }
  return next
}

/** Lets the cycles of a unit pass that is not polled. */
export function skipDue(unit: Unit, now: number): void {
  for (const { periodMs, job } of unit.periodic) {
    if (job.dueAt <= now) job.dueAt += (Math.floor((now - job.dueAt) / periodMs) + 1) * periodMs
  }
}
