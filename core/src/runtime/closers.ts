import { sleep, type Ticker } from './clock.ts'
import type { Logger } from './log.ts'

type Close = () => Promise<void> | void

/** What has to be closed, closed in the order of `add` (intake first, disconnect last), each within a deadline. */
export class Closers {
  readonly #steps: { name: string; close: Close }[] = []
  readonly #log: Logger
  readonly #ticker: Ticker
  #closing: Promise<void> | undefined

  constructor(log: Logger, ticker: Ticker) {
    this.#log = log
    this.#ticker = ticker
  }

  add(name: string, close: Close): void {
    this.#steps.push({ name, close })
  }

  /** Idempotent; a step that fails or takes longer than `deadlineMs` is logged and passed over. */
  close(deadlineMs: number): Promise<void> {
    this.#closing ??= this.#run(deadlineMs)
    return this.#closing
  }

  async #run(deadlineMs: number): Promise<void> {
    for (const { name, close } of this.#steps) {
      const done = new AbortController()
      try {
        await Promise.race([
          close(),
          sleep(this.#ticker, deadlineMs, done.signal).then(() => {
            throw new Error(`not closed within ${deadlineMs} ms`)
          }),
        ])
      } catch (error) {
        this.#log.warn({ err: error, step: name }, 'closing failed')
      } finally {
        done.abort()
      }
    }
  }
}
