/** A run of cells of a block, from `first` to `last`, read by one request. */
export interface Part {
  readonly first: number
  readonly last: number
}

/** Registers that cannot be read apart (items that overlap): the smallest thing that can be isolated. */
export interface Cell {
  readonly start: number
  readonly count: number
  /** indexes of the items of the block */
  readonly items: readonly number[]
}

/** The cells of items that are sorted by start. */
export function cellsOf(items: readonly { readonly start: number; readonly count: number }[]): Cell[] {
  const cells: { start: number; count: number; items: number[] }[] = []
  let open = cells[0]
  for (const [index, item] of items.entries()) {
    if (open && item.start < open.start + open.count) {
      open.count = Math.max(open.count, item.start + item.count - open.start)
      open.items.push(index)
    } else {
      open = { start: item.start, count: item.count, items: [index] }
      cells.push(open)
    }
  }
  return cells
}

/** The two halves of a part that was refused (exception 2 or 3); null when it is a single cell. */
export function halve({ first, last }: Part): readonly [Part, Part] | null {
  if (first === last) return null
  const middle = (first + last) >> 1
  return [
    { first, last: middle },
    { first: middle + 1, last },
  ]
}

/** How long an isolated cell is left alone. */
export const isolationMs = 3_600_000

/**
 * What is known about one block: which parts it is read in, and which cells the device refuses. Begins as one part; the
 * caller tells what was refused and what was read, and asks at each scan for the parts to read.
 */
export class Bisection {
  readonly #cells: number
  #parts: Part[]
  #isolated = new Map<number, number>()

  constructor(cells: number) {
    this.#cells = cells
    this.#parts = [{ first: 0, last: cells - 1 }]
  }

  get isolated(): number {
    return this.#isolated.size
  }

  isIsolated(cell: number): boolean {
    return this.#isolated.has(cell)
  }

  /** The parts to read now. After an hour the refused cells are tried again, with the whole block. */
  parts(now: number): readonly Part[] {
    for (const until of this.#isolated.values()) {
      if (until > now) continue
      this.#reset()
      break
    }
    return this.#parts
  }

  /** Exception 2 or 3 on a part. Returns the parts to read instead; none when a single cell was isolated. */
  refused(part: Part, now: number): readonly Part[] {
    const halves = halve(part)
    const index = this.#parts.indexOf(part)
    if (halves) {
      this.#parts.splice(index, 1, ...halves)
      return halves
    }
    this.#parts.splice(index, 1)
    this.#isolated.set(part.first, now + isolationMs)
    return []
  }

  /**
   * At the end of a scan: true when the device refuses every cell, so that this is no bad register but a device that is
   * starting up or has another register map. Nothing is remembered then; the block as a whole backs off.
   */
  refusedAll(): boolean {
    if (this.#isolated.size < this.#cells) return false
    this.#reset()
    return true
  }

  #reset(): void {
    this.#parts = [{ first: 0, last: this.#cells - 1 }]
    this.#isolated.clear()
  }
}
