import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'

export interface FlusherOptions {
  readonly ticker: Ticker
  /** 0: sync at once */
  readonly delayMs: number
  readonly sync: () => Promise<void>
  /** Something more is on the disk. */
  readonly onDurable: (tookMs: number) => void
  /** A sync has been running for `slowMs`, or has come to an end again. */
  readonly onSlow: (slow: boolean) => void
  /** A sync failed; it is tried again after `retryMs`. Resolves when room was made, if that can help. */
  readonly onFailed: (error: unknown) => Promise<void>
}

const eagerBytes = 256 * 1024
const slowMs = 100
const retryMs = 1_000

/** When a class is synced (delivery protocol, rule 1): one sync at a time, what comes meanwhile shares the next one. */
export class Flusher {
  readonly #options: FlusherOptions
  #pendingBytes = 0
  #timer: Cancel | undefined
  #running: Promise<void> | undefined
  #again = false
  #failing = false
  #closed = false

  constructor(options: FlusherOptions) {
    this.#options = options
  }

  /** Bytes that no sync has covered yet. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  wrote(bytes: number): void {
    this.#pendingBytes += bytes
    if (this.#failing) return
    if (this.#options.delayMs === 0 || this.#pendingBytes >= eagerBytes) this.flush()
    else this.#timer ??= this.#options.ticker.after(this.#options.delayMs, () => this.flush())
  }

  /** What was written does not wait for its time; unless the disk fails, which has its own pace. */
  hurry(): void {
    if (!this.#failing && this.#pendingBytes > 0) this.flush()
  }

  /** Syncs all that was written before the call, now or right after the sync that is running. Never rejects. */
  flush(): Promise<void> {
    this.#timer?.()
    this.#timer = undefined
    if (this.#running) this.#again = true
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      if (this.#again && !this.#closed && !this.#timer) this.flush()
    })
    return this.#running
  }

  /** One last sync; what cannot be written then is lost, as in a power cut. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#running) await this.#running
    if (this.#pendingBytes > 0) await this.flush()
    this.#timer?.()
  }

  async #run(): Promise<void> {
    const { ticker, sync, onDurable, onFailed, onSlow } = this.#options
    do {
      this.#again = false
      const covered = this.#pendingBytes
      const started = ticker.now()
      let slow = false
      const cancel = ticker.after(slowMs, () => {
        slow = true
        onSlow(true)
      })
      try {
        await sync()
        this.#pendingBytes -= covered
        this.#failing = false
        onDurable(ticker.now() - started)
      } catch (error) {
        this.#failing = true
        await onFailed(error)
        if (this.#closed) return
        this.#again = false
        this.#timer ??= ticker.after(retryMs, () => this.flush())
        return
      } finally {
        cancel()
        if (slow) onSlow(false)
      }
    } while (this.#again)
  }
}
