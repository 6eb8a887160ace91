export interface Timer<T> {
  readonly at: number
  /** breaks ties, so that the order never depends on when a timer was set */
  readonly key: string
  readonly what: T
}

const before = (a: Timer<unknown>, b: Timer<unknown>): boolean => a.at < b.at || (a.at === b.at && a.key < b.key)

/** A binary heap by due time, then key. Timers are never taken out; whoever takes one checks that it still stands. */
export class TimerQueue<T> {
  readonly #heap: Timer<T>[] = []

  get size(): number {
    return this.#heap.length
  }

  peek(): Timer<T> | undefined {
    return this.#heap[0]
  }

  push(timer: Timer<T>): void {
    const heap = this.#heap
    let place = heap.length
    heap.push(timer)
    while (place > 0) {
      const parent = (place - 1) >> 1
      const above = heap[parent]
      if (!above || !before(timer, above)) break
      heap[place] = above
      place = parent
    }
    heap[place] = timer
  }

  pop(): Timer<T> | undefined {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (!top || !last || heap.length === 0) return top
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      const left = heap[child]
      if (!left) break
      const right = heap[child + 1]
      if (right && before(right, left)) child += 1
      const smaller = heap[child]
      if (!smaller || !before(smaller, last)) break
      heap[place] = smaller
      place = child
    }
    heap[place] = last
    return top
  }

  clear(): void {
    this.#heap.length = 0
  }
}
