export type Arrival = 'in-order' | 'ahead' | 'late'

/**
 * The sequence numbers of one birth (tck-id-operational-behavior-host-reordering-start). Messages are taken as they come; a gap
 * that is not filled within the reorder time-out asks for a rebirth.
 */
export class Sequence {
  #expected: number
  readonly #missing = new Set<number>()
  #gapSince = Number.POSITIVE_INFINITY

  /** `seq` of the NBIRTH. */
  constructor(seq: number) {
    this.#expected = (seq + 1) % 256
  }

  /** Machine time since which a number is missing; Infinity: none is. */
  get gapSince(): number {
    return this.#gapSince
  }

  accept(seq: number, tick: number): Arrival {
    const ahead = (seq - this.#expected + 256) % 256
    if (ahead >= 128) {
      this.#missing.delete(seq)
      if (this.#missing.size === 0) this.#gapSince = Number.POSITIVE_INFINITY
      return 'late'
    }
    for (let number = this.#expected; number !== seq; number = (number + 1) % 256) this.#missing.add(number)
    if (ahead > 0 && this.#gapSince === Number.POSITIVE_INFINITY) this.#gapSince = tick
    this.#expected = (seq + 1) % 256
    return ahead === 0 ? 'in-order' : 'ahead'
  }

  /** What is missing is given up. */
  forget(): void {
    this.#missing.clear()
    this.#gapSince = Number.POSITIVE_INFINITY
  }
}
