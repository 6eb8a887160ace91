import type { Cancel, Clock } from '@penstock/core/runtime/clock.ts'
import { beginAction } from './actions.ts'
import type { CitySite } from './city-site.ts'
import type { FaultBoard } from './faults.ts'
import type { SavedCity } from './saved-state.ts'
import { Script } from './scenario/script.ts'
import type { Action, Scenario, Step } from './scenario-file.ts'

const shortestStepMs = 200
const longestStepMs = 10_000
const longestCatchUpMs = 7 * 86_400_000
/** What a meter may at most have counted after the last save before a kill. */
const leastCatchUpMs = 2000

/** Moves the plants of all sites and the script along the clock, in steps of equal length whatever is asked of the instruments. */
export class CityRun {
  readonly #sites: readonly CitySite[]
  readonly #faults: FaultBoard
  readonly #script: Script
  readonly #clock: Clock
  readonly #factor: number
  readonly #stepMs: number
  /** what already stood in the saved state is not done again */
  #replaying = false
  readonly #metersSet = new Set<number>()
  #now: number
  #elapsedMs = 0
  #paused = false
  #stopped = false
  #cancel: Cancel = () => {}

  /** @param factor how fast the clock passes */
  constructor(
    steps: Scenario['steps'],
    sites: readonly CitySite[],
    faults: FaultBoard,
    time: { clock: Clock; factor: number },
  ) {
    this.#sites = sites
    this.#faults = faults
    this.#clock = time.clock
    this.#factor = time.factor
    this.#stepMs = Math.min(longestStepMs, Math.max(shortestStepMs, 100 * time.factor))
    this.#now = time.clock.now()
    this.#script = new Script(steps, (step, index) => this.#begin(step, index))
  }

  /** ms UTC of the plants */
  get now(): number {
    return this.#now
  }

  /** ms that the script has run */
  get elapsedMs(): number {
    return this.#elapsedMs
  }

  get paused(): boolean {
    return this.#paused
  }

  /** places in the scenario of the meters that it has set */
  get metersSet(): readonly number[] {
    return [...this.#metersSet]
  }

  /** Takes the plants over from a saved state and lets them run on to the present. */
  restore(saved: SavedCity, scenario: string): void {
    for (const site of this.#sites) {
      const own = saved.sites[site.site.id]
      if (own) site.restore(own)
    }
    if (saved.scenario === scenario) {
      this.#elapsedMs = saved.elapsedMs
      for (const index of saved.metersSet) this.#metersSet.add(index)
    }
    const least = leastCatchUpMs * Math.max(1, this.#factor)
    const missed = Math.min(longestCatchUpMs, Math.max(this.#now - saved.at, least))
    const stepMs = missed > 60_000 ? longestStepMs : this.#stepMs
    for (let left = missed; left > 0; left -= stepMs) {
      const step = Math.min(left, stepMs)
      for (const site of this.#sites) site.step(this.#now - left + step, step)
    }
  }

  /** Makes the first step, before anybody looks, so that pumps that run show a flow; then follows the clock. */
  start(): void {
    for (const site of this.#sites) site.step(this.#now, this.#stepMs)
    this.#replaying = this.#elapsedMs > 0
    this.#script.runUntil(this.#elapsedMs)
    this.#replaying = false
    this.#render()
    this.#schedule()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  act(action: Action, forMs: number | null): void {
    this.#script.add({ ...action, atMs: this.#elapsedMs, forMs }, null, this.#elapsedMs, forMs)
    this.#script.runUntil(this.#elapsedMs)
    this.#render()
  }

  /** Runs something when the script has gone on by `ms`. */
  after(ms: number, run: () => void): void {
    this.#script.at(this.#elapsedMs + ms, run)
  }

  pause(): void {
    this.#paused = true
  }

  /** Goes on from the present time; nothing has flowed in between. */
  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#now = this.#clock.now()
  }

  /** Moves paused plants on. @throws RangeError when they are not paused */
  step(ms: number): void {
    if (!this.#paused) throw new RangeError('pause the plants before stepping them')
    this.#advanceTo(this.#now + ms, 0)
  }

  #begin(step: Step, index: number | null): () => void {
    const done = (step.level && this.#replaying) || (step.total && index !== null && this.#metersSet.has(index))
    if (done) return () => {}
    if (step.total && index !== null) this.#metersSet.add(index)
    return beginAction(step, this.#sites, this.#faults)
  }

  #schedule(): void {
    if (this.#stopped) return
    const due = this.#paused ? this.#stepMs : Math.max(1, this.#now + this.#stepMs - this.#clock.now())
    this.#cancel = this.#clock.after(due, () => {
      if (!this.#paused) this.#followClock()
      this.#schedule()
    })
  }

  #followClock(): void {
    const now = this.#clock.now()
    // A clock that was set back: what has flowed has flowed, the plants go on from the new time.
    if (now < this.#now - this.#stepMs) this.#now = now
    this.#advanceTo(now, this.#stepMs - 1)
  }

  /** Steps the plants to `end`, leaving at most `slackMs` for the next time. */
  #advanceTo(end: number, slackMs: number): void {
    const before = this.#now
    if (end - this.#now > longestCatchUpMs) this.#now = end - longestCatchUpMs
    for (let left = end - this.#now; left > slackMs; left = end - this.#now) {
      // After a long sleep of the machine the plants catch up in long steps.
      const step = Math.min(left, left > 60_000 ? longestStepMs : this.#stepMs)
      this.#now += step
      this.#elapsedMs += step
      this.#script.runUntil(this.#elapsedMs)
      for (const site of this.#sites) site.step(this.#now, step)
    }
    if (this.#now !== before) this.#render()
  }

  #render(): void {
    for (const site of this.#sites) site.render(this.#now)
  }
}
