const shortestMs = 10_000
const longestMs = 300_000

/** Whether an edge is to be asked for a rebirth, and when it may be: at most once in 10 s, doubling to 5 min (delivery protocol, rule 14). */
export class RebirthLimit {
  #reason: string | null = null
  #notBefore = Number.NEGATIVE_INFINITY
  #intervalMs = shortestMs

  /** Stays wanted until `born`, since the request itself may be lost. */
  want(reason: string): void {
    this.#reason ??= reason
  }

  get reason(): string | null {
    return this.#reason
  }

  /** Machine time of the next request; Infinity: none is wanted. */
  get dueAt(): number {
    return this.#reason === null ? Number.POSITIVE_INFINITY : this.#notBefore
  }

  asked(tick: number): void {
    this.#notBefore = tick + this.#intervalMs
    this.#intervalMs = Math.min(longestMs, this.#intervalMs * 2)
  }

  born(): void {
    this.#reason = null
  }

  /** The last birth was of use: something new was taken in. */
  progress(): void {
    this.#intervalMs = shortestMs
  }
}
