import { hash } from 'node:crypto'

/** A stream of pseudo-random numbers (mulberry32) that depends on the seed and its name alone. */
export class Random {
  #state: number

  constructor(seed: number, name: string) {
    this.#state = Number.parseInt(hash('sha256', `${seed} ${name}`).slice(0, 8), 16)
  }

  /** 0 ≤ x < 1 */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** mean 0, standard deviation 1 (Box-Muller) */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next())
  }
}

/** Slow wandering around 0 with a standard deviation and a correlation time, exact for any step. */
export class Wander {
  readonly #random: Random
  readonly #deviation: number
  readonly #correlationMs: number
  value = 0

  constructor(random: Random, deviation: number, correlationMs: number) {
    this.#random = random
    this.#deviation = deviation
    this.#correlationMs = correlationMs
  }

  step(stepMs: number): number {
    const keep = Math.exp(-stepMs / this.#correlationMs)
    this.value = keep * this.value + this.#deviation * Math.sqrt(1 - keep * keep) * this.#random.normal()
    return this.value
  }
}
