/** 10⁻⁶ m³ per m³; every volume in the plants is a whole number of 10⁻⁶ m³, so that water is conserved exactly. */
export const microPerM3 = 1_000_000

/** A totalizer: counts whole units of its resolution of what has passed and keeps the remainder. */
export class Meter {
  readonly resolutionMicro: number
  readonly #initial: bigint
  #counted: bigint
  #remainderMicro = 0
  #flowM3PerHour = 0

  /** @param resolutionMicro 10⁻⁶ m³ per count @param initial first index, in counts */
  constructor(resolutionMicro: number, initial: bigint) {
    this.resolutionMicro = resolutionMicro
    this.#initial = initial
    this.#counted = initial
  }

  /** Counts what passed in a step; the flow shown is what was passed, per hour. */
  pass(micro: number, stepMs: number): void {
    const sum = this.#remainderMicro + micro
    const counts = Math.floor(sum / this.resolutionMicro)
    this.#remainderMicro = sum - counts * this.resolutionMicro
    this.#counted += BigInt(counts)
    this.#flowM3PerHour = (micro / stepMs) * 3.6
  }

  /** Index in counts, beginning with the first index; never wraps. */
  get counted(): bigint {
    return this.#counted
  }

  get initial(): bigint {
    return this.#initial
  }

  /** 10⁻⁶ m³ that have passed and are not counted yet */
  get remainderMicro(): number {
    return this.#remainderMicro
  }

  get flowM3PerHour(): number {
    return this.#flowM3PerHour
  }

  /** The index after an exchange or a reset of the meter. */
  reset(counted: bigint): void {
    this.#counted = counted
    this.#remainderMicro = 0
  }

  save(): { counted: string; remainderMicro: number } {
    return { counted: this.#counted.toString(), remainderMicro: this.#remainderMicro }
  }

  restore(saved: { counted: string; remainderMicro: number }): void {
    this.#counted = BigInt(saved.counted)
    this.#remainderMicro = saved.remainderMicro
  }
}
