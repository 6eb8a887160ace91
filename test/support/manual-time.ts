import type { Cancel, Clock, Ticker } from '@penstock/core/runtime/clock.ts'

interface Timer {
  readonly due: number
  readonly order: number
  readonly run: () => void
}

/** Time that moves only when told to; serves as `Clock` and as `Ticker`. */
export class ManualTime implements Clock, Ticker {
  #now: number
  #order = 0
  readonly #timers = new Set<Timer>()

  constructor(start = 0) {
    this.#now = start
  }

  now(): number {
    return this.#now
  }

  after(delayMs: number, run: () => void): Cancel {
    const timer = { due: this.#now + Math.max(0, delayMs), order: this.#order++, run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Runs what falls due within the next `ms`, in order of due time, one turn of the event loop after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      await turn()
      const next = this.#next(end)
      if (!next) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.due)
      next.run()
    }
    this.#now = end
    await turn()
  }

  /** A step of the clock, as NTP makes one: no timer runs because of it. */
  jump(ms: number): void {
    this.#now += ms
  }

  get pending(): number {
    return this.#timers.size
  }

  #next(end: number): Timer | undefined {
    let best: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.due > end) continue
      if (!best || timer.due < best.due || (timer.due === best.due && timer.order < best.order)) best = timer
    }
    return best
  }
}

/** Lets pending promises and immediates run. */
export const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
