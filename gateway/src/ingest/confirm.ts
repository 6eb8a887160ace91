import type { DeliveryClass } from '@penstock/core/reading.ts'

/** Half of what rule 16 allows, so that a busy machine keeps it too. */
const withinMs = 100
const withinBatches = 16
const idleMs = 30_000
const resendMs = 1_000

/** When one session of an edge is to be told what is committed (delivery protocol, rules 14 to 16). All times are machine time, ms. */
export class ConfirmPolicy {
  #dueAt = Number.POSITIVE_INFINITY
  #batches = 0
  readonly #resend = new Set<DeliveryClass>()
  readonly #resentAt = new Map<DeliveryClass, number>()

  get dueAt(): number {
    return this.#dueAt
  }

  /** Batches were committed: class alarm is told at once, the others within 200 ms or 16 batches. */
  committed(batches: number, alarm: boolean, tick: number): void {
    this.#batches += batches
    if (alarm || this.#batches >= withinBatches) this.at(tick)
    else if (batches > 0) this.at(tick + withinMs)
  }

  /** The edge seems not to know: a batch came that is committed already. */
  repeated(tick: number): void {
    this.at(tick + withinMs)
  }

  /** At `tick` or earlier; the hello to a new birth. */
  at(tick: number): void {
    this.#dueAt = Math.min(this.#dueAt, tick)
  }

  /** A batch is missing before one that came; repeated at most once a second. */
  missing(deliveryClass: DeliveryClass, tick: number): void {
    if (tick - (this.#resentAt.get(deliveryClass) ?? Number.NEGATIVE_INFINITY) < resendMs) return
    this.#resentAt.set(deliveryClass, tick)
    this.#resend.add(deliveryClass)
    this.at(tick)
  }

  /** The confirmation goes out: returns the classes to send again. The next one comes in 30 s even if nothing happens. */
  sent(tick: number): DeliveryClass[] {
    const resend = [...this.#resend]
    this.#resend.clear()
    this.#batches = 0
    this.#dueAt = tick + idleMs
    return resend
  }
}
