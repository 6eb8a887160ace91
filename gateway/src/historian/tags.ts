import type { HistorianStatements } from './database.ts'
import type { Tail } from './tail.ts'

/** What the historian keeps in memory of one tag. */
export interface TagState {
  readonly name: string
  /** 0: not in the database yet */
  id: number
  /** everything of the tag from inbox positions below it is in chunks */
  upto: number
  /** newest chunk, while it is not full */
  open: number | null
  /** source time below which minutes and hours are computed; null: nothing yet */
  rolled: number | null
  tail: Tail | null
}

/** All tags that the historian has seen, by name. */
export class TagStates {
  readonly #byName = new Map<string, TagState>()

  static load(statements: HistorianStatements): TagStates {
    const states = new TagStates()
    for (const row of statements.tags.iterate()) states.#byName.set(row.name, { ...row, tail: null })
    return states
  }

  find(name: string): TagState | undefined {
    return this.#byName.get(name)
  }

  /** The state of a tag, made if it is new. */
  of(name: string): TagState {
    let state = this.#byName.get(name)
    if (!state) {
      state = { name, id: 0, upto: 0, open: null, rolled: null, tail: null }
      this.#byName.set(name, state)
    }
    return state
  }

  values(): IterableIterator<TagState> {
    return this.#byName.values()
  }

  get size(): number {
    return this.#byName.size
  }
}
