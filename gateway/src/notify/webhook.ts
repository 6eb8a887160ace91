import type { Cancel, Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { AlarmJournal, StoredRecord } from '../alarms/journal.ts'
import type { CursorFile } from './cursor-file.ts'
import { isMessage, type MessageContext, messageBody } from './message.ts'
import { sign } from './signature.ts'

export interface WebhookTarget {
  readonly id: string
  readonly url: string
  readonly secret: string
}

export interface WebhookOptions {
  readonly target: WebhookTarget
  readonly journal: Pick<AlarmJournal, 'read' | 'durableEnd' | 'first'>
  readonly cursor: CursorFile
  readonly context: (record: StoredRecord) => MessageContext
  readonly clock: Clock
  readonly ticker: Ticker
  readonly random: () => number
  readonly log: Logger
}

export interface WebhookStatus {
  readonly id: string
  /** without user, password and query */
  readonly url: string
  readonly state: 'idle' | 'sending' | 'waiting' | 'closed'
  /** journal records that it has yet to look at */
  readonly behind: number
  readonly delivered: number
  /** messages that the receiver refused for good */
  readonly refused: number
  /** messages too old to be of use when their turn came */
  readonly expired: number
  readonly failures: number
  readonly lastSuccessAt: number | null
  /** why the last try failed; null: it works */
  readonly problem: string | null
  readonly lastRefusal: { readonly at: number; readonly alarm: string | null; readonly problem: string } | null
}

const timeoutMs = 10_000
const firstRetryMs = 1_000
const longestRetryMs = 60_000
const longestRetryAfterMs = 10 * 60_000
/** A message older than this helps nobody; it stays in the journal. */
const maxAgeMs = 24 * 3_600_000
const chunk = 64

/** Answers that mean "this message, never": repeating it would hold up the ones behind it. Everything else is tried again. */
const finalStatuses: ReadonlySet<number> = new Set([400, 405, 406, 409, 410, 411, 413, 414, 415, 422, 431, 451])

type Outcome =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'refused'; readonly problem: string }
  | { readonly kind: 'failed'; readonly problem: string; readonly retryAfterMs: number | null }

/**
 * One receiver: reads the journal from its own cursor and sends in order, one call at a time, until each has succeeded or was
 * refused for good. At least once: a repeat has the same `Penstock-Delivery`. Nothing is queued here, so nothing overflows.
 */
export class Webhook {
  readonly #options: WebhookOptions
  #next: number
  #running: Promise<void> | undefined
  #cancelRetry: Cancel | undefined
  #abort: AbortController | undefined
  #state: WebhookStatus['state'] = 'idle'
  #delivered = 0
  #refused = 0
  #expired = 0
  #failures = 0
  #lastSuccessAt: number | null = null
  #problem: string | null = null
  #lastRefusal: WebhookStatus['lastRefusal'] = null

  private constructor(options: WebhookOptions, next: number) {
    this.#options = options
    this.#next = next
  }

  /** A receiver that is new begins with what happens from now on. */
  static async open(options: WebhookOptions): Promise<Webhook> {
    const saved = await options.cursor.load()
    const next = Math.min(saved ?? options.journal.durableEnd, options.journal.durableEnd)
    if (saved === null) await options.cursor.save(next)
    return new Webhook(options, next)
  }

  get status(): WebhookStatus {
    const { target, journal } = this.#options
    const { origin, pathname } = new URL(target.url)
    return {
      id: target.id,
      url: origin + pathname,
      state: this.#state,
      behind: Math.max(0, journal.durableEnd - this.#next),
      delivered: this.#delivered,
      refused: this.#refused,
      expired: this.#expired,
      failures: this.#failures,
      lastSuccessAt: this.#lastSuccessAt,
      problem: this.#problem,
      lastRefusal: this.#lastRefusal,
    }
  }

  /** There may be something new in the journal. */
  wake(): void {
    if (this.#running || this.#cancelRetry || this.#state === 'closed') return
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      if (!this.#cancelRetry && this.#next < this.#options.journal.durableEnd) this.wake()
    })
  }

  /** Breaks off a call in flight; it is made again after the next start. Idempotent. */
  async close(): Promise<void> {
    this.#state = 'closed'
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
    this.#abort?.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { journal, cursor } = this.#options
    try {
      while (this.#next < journal.durableEnd && this.#state !== 'closed') {
        this.#state = 'sending'
        const records = await journal.read(this.#next, chunk)
        if (records.length === 0) this.#next = journal.durableEnd
        for (const record of records) {
          if (this.#isClosed()) return
          if (isMessage(record) && !(await this.#deliver(record))) return
          this.#next = record.seq + 1
          if (isMessage(record)) await cursor.save(this.#next)
        }
        if (records.length > 0 && !records.some(isMessage)) await cursor.save(this.#next)
      }
      if (!this.#isClosed()) this.#state = 'idle'
    } catch (error) {
      this.#retryLater(error instanceof Error ? error.message : String(error), null)
    }
  }

  /** False when it has to be tried again. */
  async #deliver(record: StoredRecord): Promise<boolean> {
    const { clock, log, target } = this.#options
    const told = { webhook: target.id, delivery: record.seq, alarm: record.alarm }
    if (clock.now() - record.appliedAt > maxAgeMs) {
      this.#expired++
      log.error(told, 'an alarm message was too old to be sent')
      return true
    }
    const outcome = await this.#call(record)
    if (this.#isClosed()) return outcome.kind === 'delivered'
    if (outcome.kind === 'failed') {
      log.warn({ ...told, problem: outcome.problem }, 'an alarm message was not delivered; it is tried again')
      this.#retryLater(outcome.problem, outcome.retryAfterMs)
      return false
    }
    this.#failures = 0
    this.#problem = null
    if (outcome.kind === 'refused') {
      this.#refused++
      this.#lastRefusal = { at: clock.now(), alarm: record.alarm, problem: outcome.problem }
      log.error({ ...told, problem: outcome.problem }, 'the receiver refuses an alarm message for good')
    } else {
      this.#delivered++
      this.#lastSuccessAt = clock.now()
    }
    return true
  }

  async #call(record: StoredRecord): Promise<Outcome> {
    const { target, context, clock, ticker } = this.#options
    const body = messageBody(record, context(record))
    const abort = new AbortController()
    this.#abort = abort
    const cancel = ticker.after(timeoutMs, () => abort.abort(new Error(`no answer within ${timeoutMs / 1_000} s`)))
    try {
      const response = await fetch(target.url, {
        method: 'POST',
        body,
        // A redirect would take the signed message to a place that nobody configured.
        redirect: 'manual',
        signal: abort.signal,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'Penstock',
          'penstock-delivery': String(record.seq),
          'penstock-signature': sign(target.secret, Math.floor(clock.now() / 1_000), body),
        },
      })
      await response.body?.cancel()
      if (response.status >= 200 && response.status < 300) return { kind: 'delivered' }
      const problem = `answered ${response.status}`
      if (finalStatuses.has(response.status)) return { kind: 'refused', problem }
      return { kind: 'failed', problem, retryAfterMs: retryAfter(response.headers.get('retry-after')) }
    } catch (error) {
      return { kind: 'failed', problem: explain(error), retryAfterMs: null }
    } finally {
      cancel()
      this.#abort = undefined
    }
  }

  #retryLater(problem: string, retryAfterMs: number | null): void {
    this.#problem = problem
    const { ticker, random } = this.#options
    const longest = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(this.#failures, 16))
    this.#failures++
    if (this.#isClosed()) return
    this.#state = 'waiting'
    const jittered = longest / 2 + random() * (longest / 2)
    this.#cancelRetry = ticker.after(Math.max(jittered, retryAfterMs ?? 0), () => {
      this.#cancelRetry = undefined
      this.wake()
    })
  }

  #isClosed(): boolean {
    return this.#state === 'closed'
  }
}

function retryAfter(header: string | null): number | null {
  if (header === null || !/^\d+$/.test(header)) return null
  return Math.min(longestRetryAfterMs, Number(header) * 1_000)
}

/** `fetch` hides what happened in the cause. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  return cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : error.message
}
