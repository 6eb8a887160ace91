import type { Ticker } from '@penstock/core/runtime/clock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'

const windowMs = 60_000
const linesPerWindow = 5
const maxKinds = 100

/** Says what is wrong with what others send, with its place, but not more than five times a minute for each kind. */
export class BoundedLog {
  readonly #log: Logger
  readonly #ticker: Ticker
  readonly #kinds = new Map<string, { since: number; lines: number; silenced: number }>()

  constructor(log: Logger, ticker: Ticker) {
    this.#log = log
    this.#ticker = ticker
  }

  note(kind: string, place: string, what: string): void {
    const now = this.#ticker.now()
    let state = this.#kinds.get(kind)
    if (!state) {
      if (this.#kinds.size >= maxKinds) return
      state = { since: now, lines: 0, silenced: 0 }
      this.#kinds.set(kind, state)
    }
    if (now - state.since >= windowMs) {
      if (state.silenced > 0) this.#log.warn({ kind, silenced: state.silenced }, 'more of the same was not logged')
      state.since = now
      state.lines = 0
      state.silenced = 0
    }
    if (++state.lines <= linesPerWindow)
      this.#log.warn({ kind, place: printable(place), what: printable(what) }, 'a message was refused')
    else state.silenced++
  }
}

/** Topics and names come from others: no control characters, no endless lines. */
const printable = (text: string): string => text.slice(0, 500).replace(/\p{Cc}/gu, '?')
