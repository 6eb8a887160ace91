import type { Ticker } from '@penstock/core/runtime/clock.ts'

export interface BreakerOptions {
  /** failures in a row that open it */
  readonly threshold: number
  readonly firstRetryMs: number
  readonly longestRetryMs: number
}

export const unitBreaker: BreakerOptions = { threshold: 3, firstRetryMs: 1000, longestRetryMs: 30_000 }

/**
 * The circuit breaker of one unit. Closed: the unit is polled. Open: nothing is sent to it but one probe when the back-off
 * has run out, so that a dead unit costs one time-out per back-off.
 */
export class Breaker {
  readonly #options: BreakerOptions
  readonly #ticker: Ticker
  readonly #random: () => number
  #failures = 0
  #lastFailureAt = Number.NEGATIVE_INFINITY
  #retryMs = 0
  #nextTryAt = 0
  #open = false

  constructor(ticker: Ticker, options: BreakerOptions = unitBreaker, random: () => number = Math.random) {
    this.#ticker = ticker
    this.#options = options
    this.#random = random
  }

  get isOpen(): boolean {
    return this.#open
  }

  /** Failures in a row: the unit is asked one thing at a time while there are any. */
  get failures(): number {
    return this.#failures
  }

  /** On the ticker; meaningful while open. */
  get nextTryAt(): number {
    return this.#nextTryAt
  }

  /** The unit answered. Returns true when that closes the breaker. */
  succeeded(): boolean {
    const closed = this.#open
    this.#failures = 0
    this.#retryMs = 0
    this.#open = false
    return closed
  }

  /**
   * A request that was sent at `sentAt` got no answer. Requests that were in flight together count once.
   * Returns true when that opens the breaker.
   */
  failed(sentAt: number): boolean {
    const now = this.#ticker.now()
    if (sentAt < this.#lastFailureAt) return false
    this.#lastFailureAt = now
    this.#failures++
    if (this.#failures < this.#options.threshold) return false
    const opened = !this.#open
    this.#open = true
    this.#retryMs = Math.min(
      this.#retryMs === 0 ? this.#options.firstRetryMs : this.#retryMs * 2,
      this.#options.longestRetryMs,
    )
    // ±20 %, so that units that died together are not probed together
    this.#nextTryAt = now + this.#retryMs * (0.8 + 0.4 * this.#random())
    return opened
  }

  /** The way to the unit is new (connection made again): probe now. */
  hurry(): void {
    if (!this.#open) return
    this.#retryMs = 0
    this.#nextTryAt = this.#ticker.now()
  }
}
