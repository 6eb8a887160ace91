import { createHash } from 'node:crypto'
import { PenstockError } from '@penstock/core/runtime/errors.ts'

export type ConfigName = 'registry' | 'rules' | 'users'

export interface ReloadResult {
  readonly what: ConfigName
  readonly status: 'unchanged' | 'applied' | 'refused'
  readonly hash: string
  readonly problem: string | null
}

export interface SlotStatus {
  readonly what: ConfigName
  readonly files: readonly string[]
  readonly hash: string
  readonly since: number
  readonly problem: string | null
}

export interface SlotOptions<T> {
  readonly what: ConfigName
  readonly files: readonly string[]
  /** Reads and checks the files. @throws PenstockError `config-invalid` | `config-missing` */
  readonly load: () => T
  /** Makes the content take effect; resolves when that is durable. */
  readonly apply: (value: T, hash: string, content: string) => Promise<void>
  readonly now: () => number
}

/** The same content has the same hash, whatever the comments, the order of keys and the white space of its file. */
export function contentOf(value: unknown): { content: string; hash: string } {
  const content = JSON.stringify(value, (_, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
  return { content, hash: createHash('sha256').update(content).digest('hex') }
}

const isConfigProblem = (error: unknown): error is PenstockError =>
  error instanceof PenstockError && (error.code === 'config-invalid' || error.code === 'config-missing')

/** One kind of configuration that is read again while the gateway runs: what is in effect, and why newer files are not. */
export class ConfigSlot<T> {
  readonly #options: SlotOptions<T>
  #value: T
  #hash: string
  #since: number
  #problem: string | null
  #isApplied = true

  private constructor(options: SlotOptions<T>, value: T, hash: string, since: number, problem: string | null) {
    this.#options = options
    this.#value = value
    this.#hash = hash
    this.#since = since
    this.#problem = problem
  }

  /**
   * Reads the files for the first time. If they are broken, `before` (what was in effect when the gateway last ran) stays.
   * @throws PenstockError `config-invalid` | `config-missing` if there is nothing from before
   */
  static open<T>(options: SlotOptions<T>, before: { value: T; hash: string; since: number } | null): ConfigSlot<T> {
    let value: T
    try {
      value = options.load()
    } catch (error) {
      if (!isConfigProblem(error) || !before) throw error
      return new ConfigSlot(options, before.value, before.hash, before.since, error.message)
    }
    const { hash } = contentOf(value)
    const slot = new ConfigSlot(options, value, hash, before?.hash === hash ? before.since : options.now(), null)
    slot.#isApplied = before?.hash === hash
    return slot
  }

  /**
   * Makes what was read at the start take effect, if it is not what was in effect before. `inEffect`: the hash that the one
   * who uses it says it has, where it keeps one of its own.
   */
  async publish(inEffect?: string): Promise<void> {
    if (this.#isApplied && (inEffect ?? this.#hash) === this.#hash) return
    const { content, hash } = contentOf(this.#value)
    await this.#options.apply(this.#value, hash, content)
    this.#isApplied = true
  }

  get value(): T {
    return this.#value
  }

  get status(): SlotStatus {
    const { what, files } = this.#options
    return { what, files, hash: this.#hash, since: this.#since, problem: this.#problem }
  }

  /** Reads the files again: identical content does nothing, broken content is refused and the old one stays. */
  async reload(): Promise<ReloadResult> {
    const { what, load, apply, now } = this.#options
    try {
      const value = load()
      const { content, hash } = contentOf(value)
      const status = hash === this.#hash ? 'unchanged' : 'applied'
      if (status === 'applied') {
        await apply(value, hash, content)
        this.#value = value
        this.#hash = hash
        this.#since = now()
      }
      this.#problem = null
      return { what, status, hash: this.#hash, problem: null }
    } catch (error) {
      if (!isConfigProblem(error)) throw error
      this.#problem = error.message
      return { what, status: 'refused', hash: this.#hash, problem: error.message }
    }
  }
}
