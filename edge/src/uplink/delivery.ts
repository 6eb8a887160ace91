/** Batches and bytes of one class that may wait for their confirmation (delivery protocol, rule 6). */
export const windowBatches = 32
export const windowBytes = 256 * 1024

const shortestTimeoutMs = 2_000
const longestTimeoutMs = 30_000
const longestBackoffMs = 60_000
const timeoutSpread = 0.2

interface InFlight {
  readonly position: number
  readonly crc: number
  readonly bytes: number
  readonly sentAt: number
  /** sent before: its confirmation says nothing about the delay */
  readonly again: boolean
}

/** What a confirmation meant: stale and repeated ones change nothing. */
export type Outcome =
  | { readonly kind: 'stale' | 'repeated'; readonly tail: null }
  | {
      readonly kind: 'advanced'
      /** crc of the record before the confirmed position, where it is known */
      readonly tail: number | null
      /** from sending to confirmation; null when it was sent more than once, or nothing was on its way */
      readonly delayMs: number | null
    }

/**
 * The sender of one class, without I/O and without timers: what may be sent next, what a confirmation means, when to send
 * again. Positions are record numbers of the log, times the ticker's. Source: delivery protocol, rules 3, 5, 6 and 7.
 */
export class Lane {
  readonly #random: () => number
  /** first position that the gateway has not committed, as said in this session; null: no hello yet */
  #acked: number | null = null
  #sent = 0
  /** one past the highest that went out in this session */
  #highest = 0
  #inFlight: InFlight[] = []
  #bytesInFlight = 0
  #window = windowBatches
  #confirmedOfWindow = 0
  #smoothedDelayMs: number | null = null
  #timeouts = 0
  #spread = 1
  #progressAt = 0
  #resentAt = Number.NEGATIVE_INFINITY

  constructor(random: () => number) {
    this.#random = random
  }

  /** Next record to send; null before the hello. */
  get sent(): number | null {
    return this.#acked === null ? null : this.#sent
  }

  /** First position that the gateway is not known to have; null before the hello. */
  get acked(): number | null {
    return this.#acked
  }

  get window(): number {
    return this.#window
  }

  get inFlight(): number {
    return this.#inFlight.length
  }

  /** Smoothed time from sending to confirmation; null before the first. */
  get delayMs(): number | null {
    return this.#smoothedDelayMs
  }

  get timeoutMs(): number {
    return Math.min(this.#baseMs * 2 ** this.#timeouts, longestBackoffMs) * this.#spread
  }

  get #baseMs(): number {
    return Math.min(Math.max(3 * (this.#smoothedDelayMs ?? 0), shortestTimeoutMs), longestTimeoutMs)
  }

  /** When `tick` must be called; null: nothing is waited for. */
  get dueAt(): number | null {
    return this.#inFlight.length > 0 ? this.#progressAt + this.timeoutMs : null
  }

  /** Rule 3: after an NBIRTH nothing goes out until the hello. */
  startSession(): void {
    this.#acked = null
    this.#clear()
  }

  /** Rule 5, first confirmation of the session: go on where the gateway is, also below what it confirmed before. */
  hello(next: number, now: number): { readonly tail: null } {
    this.#acked = next
    this.#sent = next
    this.#highest = next
    this.#progressAt = now
    this.#resentAt = Number.NEGATIVE_INFINITY
    this.#clear()
    return { tail: null }
  }

  /** Rule 5, later ones: only forward. */
  confirm(next: number, now: number): Outcome {
    const acked = this.#acked
    if (acked === null || next < acked) return { kind: 'stale', tail: null }
    if (next === acked) return { kind: 'repeated', tail: null }
    const open = this.#inFlight.findIndex(flying => flying.position >= next)
    const confirmed = this.#inFlight.splice(0, open < 0 ? this.#inFlight.length : open)
    for (const { bytes } of confirmed) this.#bytesInFlight -= bytes
    const last = confirmed.at(-1)
    const delayMs = last ? this.#learn(now - last.sentAt, last.again) : null
    this.#acked = next
    this.#sent = Math.max(this.#sent, next)
    this.#highest = Math.max(this.#highest, next)
    this.#progressAt = now
    this.#grow(confirmed.length)
    return { kind: 'advanced', tail: last?.position === next - 1 ? last.crc : null, delayMs }
  }

  /** crc of a record that is on its way; null if it is not. */
  crcInFlight(position: number): number | null {
    return this.#inFlight.find(flying => flying.position === position)?.crc ?? null
  }

  /** Rule 6: whether a batch of so many bytes may go out now; one always may. */
  fits(bytes: number): boolean {
    if (this.#acked === null) return false
    if (this.#inFlight.length === 0) return true
    return this.#inFlight.length < this.#window && this.#bytesInFlight + bytes <= windowBytes
  }

  /** Rule 6: a batch goes out; returns the `from` that it carries: [from, position) will never come. */
  send(record: { readonly position: number; readonly crc: number; readonly bytes: number }, now: number): number {
    const from = this.#sent
    if (this.#inFlight.length === 0) this.#progressAt = now
    this.#inFlight.push({
      position: record.position,
      crc: record.crc,
      bytes: record.bytes,
      sentAt: now,
      again: record.position < this.#highest,
    })
    this.#bytesInFlight += record.bytes
    this.#sent = record.position + 1
    this.#highest = Math.max(this.#highest, this.#sent)
    return from
  }

  /** Rule 7. True: the time is over, everything unconfirmed goes out again and the window is halved. */
  tick(now: number): boolean {
    const due = this.dueAt
    if (due === null || now < due) return false
    this.#timeouts = Math.min(this.#timeouts + 1, 10)
    this.#spread = 1 + (this.#random() * 2 - 1) * timeoutSpread
    this.#window = Math.max(1, Math.floor(this.#window / 2))
    this.#confirmedOfWindow = 0
    this.#sendAgain(now)
    return true
  }

  /** Rule 7: the gateway asks for it. False: nothing is on its way, or it was done less than half a time-out ago. */
  resend(now: number): boolean {
    if (this.#inFlight.length === 0 || now - this.#resentAt < this.#baseMs / 2) return false
    this.#sendAgain(now)
    return true
  }

  /**
   * Returns the delay if it is certain. The confirmation of a batch that was sent twice may belong to either: it can only make the
   * time-out longer, and one doubling stays until a batch was sent just once, so that a link that has become slow is recognised.
   */
  #learn(delayMs: number, again: boolean): number | null {
    const smoothed = this.#smoothedDelayMs
    if (!again || smoothed === null || delayMs > smoothed) {
      this.#smoothedDelayMs = smoothed === null ? delayMs : smoothed * 0.875 + delayMs * 0.125
    }
    this.#timeouts = again ? Math.min(this.#timeouts, 1) : 0
    if (!again) this.#spread = 1
    return again ? null : delayMs
  }

  #sendAgain(now: number): void {
    this.#resentAt = now
    this.#sent = this.#acked ?? 0
    this.#clear()
  }

  #clear(): void {
    this.#inFlight = []
    this.#bytesInFlight = 0
  }

  #grow(confirmed: number): void {
    this.#confirmedOfWindow += confirmed
    if (this.#confirmedOfWindow < this.#window) return
    this.#confirmedOfWindow = 0
    this.#window = Math.min(windowBatches, this.#window + 1)
  }
}

/** What a confirmation says of one class, in record numbers, beside what this disk says. */
export interface DiskCheck {
  readonly next: number
  /** crc of the batch at next − 1 as the gateway has it; null: unknown to it */
  readonly tail: number | null
  readonly durableEnd: number
  /** crc of our record next − 1; null: not held */
  readonly ownCrc: number | null
}

/** Rule 9: the gateway has batches that this disk has not, or other ones: the disk is not the one that the gateway knows. */
export function isOtherDisk({ next, tail, durableEnd, ownCrc }: DiskCheck, tailCheck = true): boolean {
  if (next > durableEnd) return true
  return tailCheck && tail !== null && ownCrc !== null && tail !== ownCrc
}
