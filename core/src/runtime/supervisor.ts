import { sleep, type Ticker } from './clock.ts'
import type { Logger } from './log.ts'

/** Something that lives until it ends by itself or is closed. */
export interface Attempted {
  /** resolves with the reason in words; never rejects */
  readonly ended: Promise<string>
  /** idempotent, has a deadline */
  close(): Promise<void> | void
}

export interface Backoff {
  /** cap of the first pause */
  readonly minMs: number
  /** cap of every pause */
  readonly maxMs: number
  /** after having lived so long, the pauses start small again */
  readonly stableMs: number
}

export const defaultBackoff: Backoff = { minMs: 1_000, maxMs: 60_000, stableMs: 10_000 }

export interface SupervisorOptions<T extends Attempted> {
  readonly name: string
  /** One try; rejects when it fails. The signal is aborted by `close`. */
  readonly attempt: (signal: AbortSignal) => Promise<T>
  readonly backoff?: Backoff
  readonly ticker: Ticker
  /** 0 ≤ random() < 1 */
  readonly random: () => number
  readonly log: Logger
}

export interface Supervisor {
  readonly state: 'trying' | 'up' | 'waiting' | 'closed'
  /** why the last try failed or the last connection ended; null before */
  readonly lastProblem: string | null
  /** Ends what lives, and tries no more; idempotent. */
  close(): Promise<void>
}

/**
 * The one loop that connects again. The pause before try n is a random part of min · 2^n, at most max ("full jitter"), so that
 * two hundred edges do not come back in step after a broker was restarted.
 */
export function supervise<T extends Attempted>(options: SupervisorOptions<T>): Supervisor {
  const { name, attempt, backoff = defaultBackoff, ticker, random, log } = options
  const abort = new AbortController()
  const { signal } = abort
  let state: Supervisor['state'] = 'trying'
  let lastProblem: string | null = null
  let live: T | undefined
  let failures = 0

  const once = async (): Promise<void> => {
    state = 'trying'
    const thing = await attempt(signal)
    // closed while the attempt succeeded: it would stay open for ever
    if (signal.aborted) return void (await thing.close())
    live = thing
    state = 'up'
    const since = ticker.now()
    try {
      lastProblem = await thing.ended
      log.info({ what: name, reason: lastProblem }, 'ended')
    } finally {
      live = undefined
      if (ticker.now() - since >= backoff.stableMs) failures = 0
    }
  }

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await once()
      } catch (error) {
        if (signal.aborted) break
        lastProblem = error instanceof Error ? error.message : String(error)
        log.warn({ what: name, problem: lastProblem, failures }, 'attempt failed')
      }
      if (signal.aborted) break
      const cap = Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(failures, 30))
      failures++
      state = 'waiting'
      await sleep(ticker, random() * cap, signal).catch(() => {})
    }
    state = 'closed'
  }

  const running = run()
  return {
    get state() {
      return state
    },
    get lastProblem() {
      return lastProblem
    },
    async close() {
      abort.abort(new Error(`${name} is closed`))
      await live?.close()
      await running
    },
  }
}
