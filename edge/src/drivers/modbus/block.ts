import type { Reason } from '@penstock/core/reading.ts'
import { Bisection, type Cell, cellsOf, type Part } from './bisect.ts'
import { cover, type PlannedRead } from './plan.ts'
import type { Item } from './points.ts'
import { type Request, readRequest, type Wire } from './request.ts'
import type { Job, Unit } from './unit.ts'

const failuresBeforeBackOff = 3
const firstBackOffMs = 5000
const longestBackOffMs = 60_000
const longestRefusedMs = 3_600_000

/** One planned read of a scan, in as many requests as the device's refusals make necessary. */
export class Block {
  readonly #unit: Unit
  readonly #wire: Wire
  readonly #owner: Job
  readonly #read: PlannedRead
  readonly #cells: readonly Cell[]
  readonly #itemsOf: readonly (readonly Item[])[]
  readonly #bytes: Buffer
  readonly #bisection: Bisection
  readonly #requests = new Map<Part, Request>()
  readonly #partOf = new Map<Request, Part>()
  #failures = 0
  #retryAt = Number.NEGATIVE_INFINITY

  constructor(unit: Unit, wire: Wire, owner: Job, read: PlannedRead, items: readonly Item[]) {
    this.#unit = unit
    this.#wire = wire
    this.#owner = owner
    this.#read = read
    const unitBytes = read.functionCode <= 2 ? 1 : 2
    this.#bytes = Buffer.alloc(read.count * unitBytes)
    for (const item of items) {
      item.bytes = this.#bytes
      item.offset = (item.start - read.start) * unitBytes
    }
    this.#cells = cellsOf(items)
    this.#itemsOf = this.#cells.map(cell => cell.items.flatMap(index => items[index] ?? []))
    this.#bisection = new Bisection(this.#cells.length)
  }

  get isolated(): number {
    return this.#bisection.isolated
  }

  /** Whether `item` is read by this block. */
  has(item: Item): boolean {
    return item.bytes === this.#bytes
  }

  /** The requests of a new scan; none while the block backs off. Items keep their old failure until they are answered. */
  begin(now: number, ignoreBackOff = false): readonly Request[] {
    if (now < this.#retryAt && !ignoreBackOff) return []
    const parts = this.#bisection.parts(now)
    if (this.#requests.size > parts.length) this.#forget(parts)
    for (let cell = 0; cell < this.#cells.length; cell++) {
      if (!this.#bisection.isIsolated(cell)) this.#mark(cell, 'not-read')
    }
    return parts.map(part => this.#requestOf(part))
  }

  answered(request: Request, data: Buffer, from: number, now: number): void {
    const part = this.#partOf.get(request)
    if (!part) return
    this.#failures = 0
    if (this.#read.functionCode > 2)
      data.copy(this.#bytes, (request.start - this.#read.start) * 2, from, from + request.answerBytes)
    else unpackBits(this.#bytes, request.start - this.#read.start, data, from, request.count)
    for (let index = part.first; index <= part.last; index++) {
      for (const item of this.#itemsOf[index] ?? []) {
        item.failure = null
        item.answeredAt = now
      }
    }
  }

  /** Exception 2 or 3: the requests to send instead. */
  refused(request: Request, now: number): readonly Request[] {
    const part = this.#partOf.get(request)
    if (!part) return []
    this.#requests.delete(part)
    this.#partOf.delete(request)
    this.#failed(part, 'exception')
    return this.#bisection.refused(part, now).map(half => this.#requestOf(half))
  }

  /** The request failed for good in this scan. */
  gaveUp(request: Request, reason: Reason, now: number, refusesAlways: boolean): void {
    const part = this.#partOf.get(request)
    if (!part) return
    this.#failed(part, reason)
    this.#backOff(now, refusesAlways)
  }

  /** At the end of a scan. */
  settle(now: number): void {
    if (!this.#bisection.refusedAll()) return
    this.#requests.clear()
    this.#partOf.clear()
    this.#failures = Math.max(this.#failures, failuresBeforeBackOff - 1)
    this.#backOff(now, true)
  }

  #failed(part: Part, reason: Reason): void {
    for (let cell = part.first; cell <= part.last; cell++) this.#mark(cell, reason)
  }

  #backOff(now: number, refusesAlways: boolean): void {
    this.#failures++
    if (this.#failures < failuresBeforeBackOff) return
    const wait = firstBackOffMs * 2 ** Math.min(20, this.#failures - failuresBeforeBackOff)
    this.#retryAt = now + Math.min(wait, refusesAlways ? longestRefusedMs : longestBackOffMs)
  }

  #mark(cell: number, reason: Reason): void {
    for (const item of this.#itemsOf[cell] ?? []) item.failure = reason
  }

  #forget(parts: readonly Part[]): void {
    for (const [part, request] of this.#requests) {
      if (parts.includes(part)) continue
      this.#requests.delete(part)
      this.#partOf.delete(request)
    }
  }

  #requestOf(part: Part): Request {
    const known = this.#requests.get(part)
    if (known) return known
    const { start, count } = cover(this.#cells.slice(part.first, part.last + 1))
    const request = readRequest(this.#unit, this.#wire, this.#owner, this.#read.functionCode, start, count)
    this.#requests.set(part, request)
    this.#partOf.set(request, part)
    return request
  }
}

/** Bits come packed, lowest first. */
function unpackBits(into: Buffer, offset: number, data: Buffer, from: number, count: number): void {
  for (let bit = 0; bit < count; bit++) into[offset + bit] = ((data[from + (bit >> 3)] ?? 0) >> (bit & 7)) & 1
}
