import { seeded } from './faulty-files.ts'

/** Chance that is the same for the same seed, on every machine. */
export class SeededRandom {
  /** 0 ≤ next() < 1 */
  readonly next: () => number

  constructor(seed: number) {
    this.next = seeded(seed)
  }

  /** A whole number, 0 ≤ n < below. */
  readonly below = (below: number): number => Math.floor(this.next() * below)

  /** min ≤ n < max */
  between(min: number, max: number): number {
    return min + this.next() * (max - min)
  }

  /** Draws only if the probability is above 0. */
  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability
  }
}
