import type { DeclaredLoss } from '@penstock/core/delivery/batch.ts'
import type { BatchHead } from '@penstock/core/delivery/wire.ts'
import { type DeliveryClass, deliveryClasses, type Reading } from '@penstock/core/reading.ts'
import type { ConfirmPolicy } from './confirm.ts'
import type { IngestCounters } from './counters.ts'
import type { Inbox } from './inbox.ts'
import type { EdgeKey } from './record.ts'

/** A batch of the current session, its aliases resolved. */
export interface ReceivedBatch {
  readonly head: BatchHead
  readonly readings: readonly Reading[]
  /** what the edge itself declares lost, with its reason */
  readonly losses: readonly DeclaredLoss[]
  readonly receivedAt: number
  readonly skewMs: number
  readonly live: boolean
}

/**
 * Rules of the delivery protocol that can be switched off, for the tests that show what each is good for. `hello` and
 * `fsyncBeforePublish` are the edge's; the gateway has nothing to switch off there.
 */
export type DeliveryRules = Readonly<
  Partial<
    Record<
      'rebirthAlienSession' | 'sessionNumber' | 'tailCheck' | 'hello' | 'declaredHoles' | 'fsyncBeforePublish',
      false
    >
  >
>

const heldBatches = 64
const heldMs = 2_000

export type LaneInbox = Pick<Inbox, 'append' | 'positions' | 'takesBatches'>

/** The durable lane of one session: batches in order into the inbox, class by class (delivery protocol, rule 15). */
export class BatchLane {
  readonly #edge: EdgeKey
  readonly #epoch: string
  readonly #inbox: LaneInbox
  readonly #counters: IngestCounters
  readonly #declaredHoles: boolean
  readonly #confirm: ConfirmPolicy
  readonly #held = { alarm: [] as ReceivedBatch[], total: [] as ReceivedBatch[], raw: [] as ReceivedBatch[] }
  readonly #heldSince = { alarm: forever, total: forever, raw: forever }
  readonly #seenCommitted: Record<DeliveryClass, number>

  constructor(
    edge: EdgeKey,
    epoch: string,
    inbox: LaneInbox,
    counters: IngestCounters,
    rules: DeliveryRules,
    confirm: ConfirmPolicy,
  ) {
    this.#edge = edge
    this.#epoch = epoch
    this.#inbox = inbox
    this.#counters = counters
    this.#declaredHoles = rules.declaredHoles !== false
    this.#confirm = confirm
    this.#seenCommitted = {
      alarm: this.committedNext('alarm'),
      total: this.committedNext('total'),
      raw: this.committedNext('raw'),
    }
  }

  /** First position that the inbox does not have. */
  next(deliveryClass: DeliveryClass): number {
    return this.#inbox.positions.find(this.#edge, this.#epoch)?.[deliveryClass].next ?? 0
  }

  /** First position that is not committed. */
  committedNext(deliveryClass: DeliveryClass): number {
    return this.#inbox.positions.find(this.#edge, this.#epoch)?.[deliveryClass].committedNext ?? 0
  }

  committedTail(deliveryClass: DeliveryClass): number | null {
    return this.#inbox.positions.find(this.#edge, this.#epoch)?.[deliveryClass].committedTail ?? null
  }

  /** Machine time at which held batches are given up. */
  get dueAt(): number {
    return Math.min(this.#heldSince.alarm, this.#heldSince.total, this.#heldSince.raw) + heldMs
  }

  /** True when the batch, or held ones after it, went into the inbox. */
  offer(batch: ReceivedBatch, tick: number): boolean {
    const { class: name, pos } = batch.head
    const next = this.next(name)
    if (pos < next) {
      this.#counters.repeatedBatches++
      this.#confirm.repeated(tick)
      return false
    }
    if (!this.#inbox.takesBatches) {
      this.#counters.refusedBatches++
      return false
    }
    if (this.#from(batch) > next) {
      this.#hold(batch, tick)
      return false
    }
    if (!this.#append(batch, next)) return false
    this.#release(name)
    return true
  }

  /** Gives up what was held for too long and asks for it again. */
  expire(tick: number): void {
    for (const name of deliveryClasses) {
      if (tick - this.#heldSince[name] < heldMs) continue
      this.#counters.droppedHeld += this.#held[name].length
      this.#held[name] = []
      this.#heldSince[name] = forever
      this.#confirm.missing(name, tick)
    }
  }

  /** After a commit: tells the confirmation what became durable. True while something is still on its way to the disk. */
  committed(tick: number): boolean {
    const positions = this.#inbox.positions.find(this.#edge, this.#epoch)
    if (!positions) return false
    let waiting = false
    for (const name of deliveryClasses) {
      const { committedNext, next } = positions[name]
      const batches = committedNext - this.#seenCommitted[name]
      if (batches > 0) this.#confirm.committed(batches, name === 'alarm', tick)
      this.#seenCommitted[name] = committedNext
      if (next > committedNext) waiting = true
    }
    return waiting
  }

  #from({ head }: ReceivedBatch): number {
    return this.#declaredHoles ? head.from : head.pos
  }

  #hold(batch: ReceivedBatch, tick: number): void {
    const { class: name, pos } = batch.head
    const held = this.#held[name]
    const at = held.findIndex(other => other.head.pos >= pos)
    if (at < 0 || held[at]?.head.pos !== pos) {
      if (this.#held.alarm.length + this.#held.total.length + this.#held.raw.length >= heldBatches) {
        this.#counters.droppedHeld++
      } else {
        this.#counters.heldBatches++
        held.splice(at < 0 ? held.length : at, 0, batch)
        if (this.#heldSince[name] === forever) this.#heldSince[name] = tick
      }
    }
    this.#confirm.missing(name, tick)
  }

  #release(name: DeliveryClass): void {
    const held = this.#held[name]
    for (let first = held[0]; first; first = held[0]) {
      const next = this.next(name)
      if (first.head.pos >= next && (this.#from(first) > next || !this.#append(first, next))) return
      held.shift()
    }
    this.#heldSince[name] = forever
  }

  /** Loss and reason first: a crash in between makes the edge send the batch again, and nothing is forgotten. */
  #append({ head, readings, losses, receivedAt, skewMs, live }: ReceivedBatch, next: number): boolean {
    const { class: name, from, pos, crc } = head
    const edge = this.#edge
    const epoch = this.#epoch
    if (!this.#inbox.takesBatches) return false
    if (pos > next) {
      const hole = { class: name, from: next, to: pos, firstMs: null, lastMs: null, reason: null }
      this.#inbox.append({ kind: 'loss', edge, epoch, receivedAt, ...hole })
      this.#counters.lostBatches += pos - next
    }
    for (const loss of losses) this.#inbox.append({ kind: 'loss', edge, epoch, receivedAt, ...loss })
    this.#inbox.append({ kind: 'batch', edge, epoch, class: name, from, pos, crc, receivedAt, skewMs, live, readings })
    this.#counters.batches++
    this.#counters.readings += readings.length
    return true
  }
}

const forever = Number.POSITIVE_INFINITY
