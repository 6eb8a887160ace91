import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { Consumer } from './consumer.ts'
import type { Inbox } from './ingest/inbox.ts'

export interface ConsumerStatus {
  readonly name: string
  /** everything below has taken effect durably */
  readonly cursor: number
  /** everything below was applied */
  readonly applied: number
  /** records of the inbox that it has yet to apply */
  readonly behind: number
  /** why the last try failed; null: it works */
  readonly failing: string | null
  readonly failures: number
  /** records that the inbox no longer had when it came to them */
  readonly missed: number
}

export interface ConsumerRunnerOptions {
  readonly inbox: Pick<Inbox, 'read' | 'release' | 'trim' | 'onCommit' | 'onSegment' | 'first' | 'durableEnd'>
  /** in order: none goes beyond the one before it, unless that one fails */
  readonly consumers: readonly Consumer[]
  readonly ticker: Ticker
  readonly log: Logger
}

const maxRecords = 512
const firstRetryMs = 1_000
const longestRetryMs = 60_000

/** Gives every consumer the committed records, in order, each from its cursor; tries again when one fails; drops what all have. */
export class ConsumerRunner {
  readonly #options: ConsumerRunnerOptions
  readonly #pumps: readonly Pump[]
  #closed = false
  #trimming: Promise<void> | undefined

  constructor(options: ConsumerRunnerOptions) {
    this.#options = options
    this.#pumps = options.consumers.map(consumer => new Pump(consumer, options, pump => this.#moved(pump)))
    for (const [index, pump] of this.#pumps.entries()) pump.follows = this.#pumps.slice(0, index)
  }

  /** Resolves when every consumer is at the end of the inbox, or fails; from then on each commit wakes them. */
  async start(): Promise<void> {
    const { inbox } = this.#options
    inbox.onCommit(() => this.#wake())
    inbox.onSegment(() => void this.trim())
    this.#wake()
    await Promise.all(this.#pumps.map(pump => pump.settled(inbox.durableEnd)))
  }

  /** Whether every consumer has applied everything that is committed. */
  caughtUp(): boolean {
    return this.#pumps.every(pump => pump.applied >= this.#options.inbox.durableEnd)
  }

  status(): ConsumerStatus[] {
    return this.#pumps.map(pump => pump.status())
  }

  /** Makes applied effects durable and deletes what no consumer needs any more. Never rejects. */
  trim(): Promise<void> {
    this.#trimming ??= this.#trim().finally(() => {
      this.#trimming = undefined
    })
    return this.#trimming
  }

  /** Applies what is committed, flushes, and stops; consumers that fail are left behind. Idempotent; does not close the consumers. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#wake()
    await Promise.all(this.#pumps.map(pump => pump.settled(this.#options.inbox.durableEnd)))
    this.#closed = true
    await Promise.all(this.#pumps.map(pump => pump.close()))
    await this.#trimming
  }

  #wake(): void {
    if (this.#closed) return
    for (const pump of this.#pumps) pump.wake()
  }

  #moved(moved: Pump): void {
    for (const pump of this.#pumps) if (pump !== moved) pump.wake()
    this.#options.inbox.release(Math.min(...this.#pumps.map(({ applied }) => applied)))
  }

  async #trim(): Promise<void> {
    const { inbox, log } = this.#options
    await Promise.all(this.#pumps.map(pump => pump.flush()))
    const cursor = Math.min(inbox.durableEnd, ...this.#pumps.map(pump => pump.cursor))
    try {
      await inbox.trim(cursor)
    } catch (error) {
      log.warn({ err: error }, 'old segments of the inbox were not deleted')
    }
  }
}

/** One consumer: applies, one call at a time. */
class Pump {
  follows: readonly Pump[] = []
  applied: number
  readonly #consumer: Consumer
  readonly #options: ConsumerRunnerOptions
  readonly #moved: (pump: Pump) => void
  #running: Promise<void> | undefined
  #flushes: (() => void)[] = []
  #failing: string | null = null
  #failures = 0
  #missed = 0
  #retry: Cancel | undefined
  #closed = false
  #settled: { at: number; resolve: () => void }[] = []

  constructor(consumer: Consumer, options: ConsumerRunnerOptions, moved: (pump: Pump) => void) {
    this.#consumer = consumer
    this.#options = options
    this.#moved = moved
    this.applied = consumer.cursor
  }

  get cursor(): number {
    return this.#consumer.cursor
  }

  get isFailing(): boolean {
    return this.#failing !== null
  }

  status(): ConsumerStatus {
    return {
      name: this.#consumer.name,
      cursor: this.cursor,
      applied: this.applied,
      behind: Math.max(0, this.#options.inbox.durableEnd - this.applied),
      failing: this.#failing,
      failures: this.#failures,
      missed: this.#missed,
    }
  }

  wake(): void {
    if (this.#running || this.#retry || this.#closed) return
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      // Something may have come between the last look and now.
      if (!this.#failing && (this.#flushes.length > 0 || this.applied < this.#limit())) this.wake()
    })
  }

  /** Resolves when everything below `end` was applied, or while the consumer fails. */
  settled(end: number): Promise<void> {
    if (this.applied >= end || this.isFailing || this.#closed) return Promise.resolve()
    return new Promise(resolve => this.#settled.push({ at: end, resolve }))
  }

  /** Resolves when the consumer has flushed; at once while it fails. */
  flush(): Promise<void> {
    if (this.isFailing || this.#closed) return Promise.resolve()
    return new Promise(resolve => {
      this.#flushes.push(resolve)
      this.wake()
    })
  }

  async close(): Promise<void> {
    if (!this.isFailing) await this.flush()
    this.#closed = true
    this.#retry?.()
    await this.#running
    this.#resolveFlushes()
    for (const { resolve } of this.#settled.splice(0)) resolve()
  }

  async #run(): Promise<void> {
    try {
      while (!this.#closed && (await this.#step()));
      if (this.#flushes.length > 0 && !this.#closed) {
        await this.#consumer.flush()
        this.#resolveFlushes()
      }
      if (this.#failing) this.#options.log.info({ consumer: this.#consumer.name }, 'the consumer works again')
      this.#failing = null
      this.#failures = 0
    } catch (error) {
      this.#fail(error)
    }
  }

  async #step(): Promise<boolean> {
    const { inbox, log } = this.#options
    const { name } = this.#consumer
    if (this.applied < inbox.first) {
      this.#missed += inbox.first - this.applied
      log.error(
        { consumer: name, from: this.applied, to: inbox.first },
        'the inbox no longer has what the consumer needs',
      )
      this.applied = inbox.first
    }
    const limit = this.#limit()
    if (this.applied >= limit) return false
    const { records, next } = await inbox.read(this.applied, Math.min(maxRecords, limit - this.applied))
    if (records.length > 0) await this.#consumer.apply(records)
    this.applied = next
    this.#settled = this.#settled.filter(({ at, resolve }) => {
      if (this.applied >= at) resolve()
      return this.applied < at
    })
    this.#moved(this)
    return true
  }

  /** As far as the consumers before it have come. */
  #limit(): number {
    let limit = this.#options.inbox.durableEnd
    for (const pump of this.follows) if (!pump.isFailing) limit = Math.min(limit, pump.applied)
    return limit
  }

  #fail(error: unknown): void {
    const { log, ticker } = this.#options
    this.#failing = error instanceof Error ? error.message : String(error)
    log.error({ err: error, consumer: this.#consumer.name, failures: this.#failures }, 'a consumer of the inbox failed')
    const delay = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(this.#failures, 10))
    this.#failures++
    this.#resolveFlushes()
    for (const { resolve } of this.#settled.splice(0)) resolve()
    if (!this.#closed) {
      this.#retry = ticker.after(delay, () => {
        this.#retry = undefined
        this.wake()
      })
    }
    // The ones after it need not wait for it.
    this.#moved(this)
  }

  #resolveFlushes(): void {
    for (const resolve of this.#flushes.splice(0)) resolve()
  }
}
