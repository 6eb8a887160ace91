import type { Step } from '../scenario-file.ts'

interface Event {
  readonly atMs: number
  readonly run: () => void
}

/** Starts an action and returns what ends it; `index` is its place in the scenario, null for one that came by control. */
export type Begin = (step: Step, index: number | null) => () => void

/** The steps of a scenario on the time since its start; a step with `forMs` is ended after it. */
export class Script {
  readonly #begin: Begin
  #events: Event[] = []

  constructor(steps: readonly Step[], begin: Begin) {
    this.#begin = begin
    for (const [index, step] of steps.entries()) this.add(step, index, step.atMs, step.forMs)
  }

  /** Puts a step in at a time since the start. */
  add(step: Step, index: number | null, atMs: number, forMs: number | null): void {
    this.at(atMs, () => {
      const end = this.#begin(step, index)
      if (forMs !== null) this.at(atMs + forMs, end)
    })
  }

  /** Does what is due up to a time since the start, in order. */
  runUntil(elapsedMs: number): void {
    for (let next = this.#events[0]; next && next.atMs <= elapsedMs; next = this.#events[0]) {
      this.#events.shift()
      next.run()
    }
  }

  /** Runs something at a time since the start. */
  at(atMs: number, run: () => void): void {
    const place = this.#events.findIndex(event => event.atMs > atMs)
    this.#events.splice(place < 0 ? this.#events.length : place, 0, { atMs, run })
  }
}
