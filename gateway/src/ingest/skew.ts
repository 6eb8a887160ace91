const samples = 20

/** How far the gateway's clock is ahead of an edge's: the median of the last 20 live messages. Constant delay counts as skew. */
export class Skew {
  readonly #last: number[] = []
  #at = 0
  #median: number | null = null

  add(receivedAt: number, sentAt: number): void {
    this.#last[this.#at] = receivedAt - sentAt
    this.#at = (this.#at + 1) % samples
    this.#median = null
  }

  /** ms; null before the first message */
  get ms(): number | null {
    if (this.#median === null && this.#last.length > 0) {
      const sorted = this.#last.toSorted((a, b) => a - b)
      this.#median = sorted[sorted.length >> 1] ?? null
    }
    return this.#median
  }
}
