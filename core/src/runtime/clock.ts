import { readFileSync } from 'node:fs'

/** Cancels what it was returned for; calling it again does nothing. */
export type Cancel = () => void

/** Calendar time: stamps, periods, alarm delays, staleness. May be scaled in demonstrations. */
export interface Clock {
  /** ms UTC */
  now(): number
  /** Calls `run` once, when `now()` has advanced by `delayMs`. */
  after(delayMs: number, run: () => void): Cancel
}

/** Machine time: time-outs, back-off, keep-alive, sync, rate limits. Monotonic, real, never scaled. */
export interface Ticker {
  /** ms since an arbitrary start */
  now(): number
  after(delayMs: number, run: () => void): Cancel
}

const longestTimerMs = 2 ** 31 - 1

function timer(delayMs: number, run: () => void): Cancel {
  const handle = setTimeout(run, Math.min(Math.max(0, delayMs), longestTimerMs))
  return () => clearTimeout(handle)
}

export const systemTicker: Ticker = { now: () => performance.now(), after: timer }

export const systemClock: Clock = { now: () => Date.now(), after: timer }

/** What `npm start` writes for its processes: V = v0 + factor · (CLOCK_MONOTONIC − m0), all in ms. */
export interface ScaledTime {
  readonly v0: number
  readonly m0: number
  readonly factor: number
}

const monotonicMs = (): number => Number(process.hrtime.bigint() / 1000n) / 1000

export const startScaledTime = (v0: number, factor: number): ScaledTime => ({ v0, m0: monotonicMs(), factor })

/** The scaled clock of demonstrations; `factor` 1 to 60 keeps live alarms, above it is replay. */
export function scaledClock({ v0, m0, factor }: ScaledTime): Clock {
  return {
    now: () => Math.round(v0 + factor * (monotonicMs() - m0)),
    after: (delayMs, run) => timer(delayMs / factor, run),
  }
}

/** The clock of a process: the scaled one of `file` when given, else the system's. */
export function openClock(file?: string): { clock: Clock; factor: number } {
  if (file === undefined) return { clock: systemClock, factor: 1 }
  const time = JSON.parse(readFileSync(file, 'utf8')) as ScaledTime
  return { clock: scaledClock(time), factor: time.factor }
}

/** Resolves after `delayMs`; rejects with the signal's reason when aborted. */
export function sleep(source: Clock | Ticker, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const cancel = source.after(delayMs, () => {
      signal?.removeEventListener('abort', stop)
      resolve()
    })
    const stop = () => {
      cancel()
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', stop, { once: true })
  })
}
