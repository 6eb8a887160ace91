import type { Quality, Reason, Value } from '@penstock/core/reading.ts'
import type { Clock } from '@penstock/core/runtime/clock.ts'
import type { DriverSink } from '../driver.ts'
import { Block } from './block.ts'
import type { Failure } from './client.ts'
import { type Decoded, isBad } from './decode.ts'
import { plan } from './plan.ts'
import type { Item, Point } from './points.ts'
import type { Request, Wire } from './request.ts'
import { afterSecondRead, checkedCount, looksTorn, type RawTotal } from './total.ts'
import type { Job, Unit } from './unit.ts'

interface MutableReading {
  readonly tag: number
  value: Value | null
  quality: Quality
  reason: Reason | null
  sourceTimestamp: number
}

/** An index read within this time after a full hour is the index at the hour. */
const hourToleranceMs = 1000

export interface ScanDeps {
  readonly clock: Clock
  /** machine time, for back-off and isolation */
  readonly now: () => number
  readonly sink: DriverSink
}

/** Reads some tags of a unit together and hands them on together. */
export class Scan implements Job {
  readonly unit: Unit
  dueAt = 0
  early = false
  queued = false
  /** set before a run out of turn: what its answers are to be stamped with */
  stampMs: number | null = null
  /** why items of the profile cannot be read at all */
  readonly refused: readonly { readonly tag: number; readonly why: string }[]
  readonly #deps: ScanDeps
  readonly #points: readonly Point[]
  readonly #readings: readonly MutableReading[]
  readonly #blocks: readonly Block[]
  readonly #blockOf = new Map<Request, Block>()
  readonly #retried = new Set<Request>()
  /** totals that looked torn and are being read again, by tag */
  readonly #suspects = new Map<number, RawTotal>()
  #pending: Request[] = []
  #cursor = 0
  #onTheWire = 0
  #running = false
  #confirming = false

  constructor(unit: Unit, wire: Wire, points: readonly Point[], deps: ScanDeps) {
    this.unit = unit
    this.#deps = deps
    this.#points = points
    this.#readings = points.map(point => ({
      tag: point.tag,
      value: null,
      quality: 'bad',
      reason: 'not-read',
      sourceTimestamp: 0,
    }))
    const items = points.flatMap(point => point.items.map(item => ({ item, tag: point.tag })))
    const planned = plan(
      items.map(({ item }) => item),
      unit.device.profile.modbus,
    )
    this.#blocks = planned.reads.map(
      read =>
        new Block(
          unit,
          wire,
          this,
          read,
          pick(
            items.map(({ item }) => item),
            read.items,
          ),
        ),
    )
    this.refused = planned.refused.map(({ item, why }) => ({ tag: items[item]?.tag ?? 0, why }))
    for (const { item } of planned.refused) {
      const refused = items[item]
      if (refused) refused.item.failure = 'configuration'
    }
  }

  get running(): boolean {
    return this.#running
  }

  get hasMore(): boolean {
    return this.#cursor < this.#pending.length
  }

  start(): boolean {
    if (this.#onTheWire > 0) return false
    this.#running = true
    this.#confirming = false
    this.#retried.clear()
    this.#pending = []
    this.#cursor = 0
    const now = this.#deps.now()
    const probing = this.unit.breaker.isOpen
    for (const block of this.#blocks) this.#push(block, block.begin(now, probing))
    if (probing && !this.hasMore) {
      this.#end()
      return false
    }
    this.#settle()
    return true
  }

  next(): Request | null {
    // a unit that just failed, or is being probed, is asked one thing at a time
    if (this.#onTheWire > 0 && this.unit.breaker.failures > 0) return null
    const request = this.#pending[this.#cursor]
    if (!request) return null
    this.#cursor++
    this.#onTheWire++
    return request
  }

  answered(request: Request, data: Buffer, from: number): void {
    this.#onTheWire--
    this.#blockOf.get(request)?.answered(request, data, from, this.#deps.clock.now())
    this.#settle()
  }

  failed(request: Request, failure: Failure): void {
    this.#onTheWire--
    const block = this.#blockOf.get(request)
    const now = this.#deps.now()
    if (!block) return
    if (failure.kind === 'exception') {
      if (failure.code === 2 || failure.code === 3) this.#push(block, block.refused(request, now))
      else if ((failure.code === 5 || failure.code === 6) && this.#mayRetry(request)) this.#pending.push(request)
      else block.gaveUp(request, reasonOf(failure), now, failure.code === 1)
    } else if (failure.kind === 'closed' && this.#mayRetry(request)) this.#pending.push(request)
    else block.gaveUp(request, reasonOf(failure), now, false)
    this.#settle()
  }

  /** A request of a stopped run came to an end. */
  forget(): void {
    this.#onTheWire--
  }

  stop(reason: Reason | null): void {
    if (!this.#running) return
    if (reason) {
      for (const point of this.#points) {
        for (const item of point.items) if (item.failure === 'not-read') item.failure = reason
      }
      this.#finish()
      return
    }
    this.#end()
  }

  #mayRetry(request: Request): boolean {
    if (this.#retried.has(request)) return false
    this.#retried.add(request)
    return true
  }

  #push(block: Block, requests: readonly Request[]): void {
    for (const request of requests) {
      this.#pending.push(request)
      if (!this.#blockOf.has(request)) this.#blockOf.set(request, block)
    }
  }

  #settle(): void {
    if (this.#onTheWire > 0 || this.hasMore) return
    if (!this.#confirming && this.#readAgain()) return
    this.#finish()
  }

  /** Totals whose parts may not belong together are read once more. */
  #readAgain(): boolean {
    const blocks = new Set<Block>()
    for (const point of this.#points) {
      if (!point.total || failureOf(point.items)) continue
      const raw = point.total.raw()
      if (!raw || !looksTorn(point.total.memory.before, raw)) continue
      this.#suspects.set(point.tag, raw)
      for (const block of this.#blocks) if (point.items.some(item => block.has(item))) blocks.add(block)
    }
    if (blocks.size === 0) return false
    this.#confirming = true
    for (const block of blocks) this.#push(block, block.begin(this.#deps.now()))
    return this.hasMore
  }

  #finish(): void {
    const now = this.#deps.clock.now()
    const machineNow = this.#deps.now()
    let isolated = 0
    for (const block of this.#blocks) {
      block.settle(machineNow)
      isolated += block.isolated
    }
    for (let index = 0; index < this.#points.length; index++) {
      const point = this.#points[index]
      const reading = this.#readings[index]
      if (!point || !reading) continue
      const failure = failureOf(point.items)
      const decoded: Decoded = failure ? { bad: failure } : point.total ? this.#total(point) : point.decode()
      if (isBad(decoded)) {
        reading.value = null
        reading.quality = 'bad'
        reading.reason = decoded.bad
        reading.sourceTimestamp = failure ? now : newest(point.items)
      } else {
        reading.value = decoded
        reading.quality = 'good'
        reading.reason = null
        reading.sourceTimestamp = this.#stamp(point.tag, newest(point.items))
      }
    }
    const { counters } = this.unit.diagnosis
    counters.scans++
    const forced = this.stampMs !== null
    if (!forced) counters.isolated = isolated
    this.#end()
    this.#deps.sink.scanned(this.unit.device, this.#readings, forced ? { force: true } : undefined)
  }

  #end(): void {
    this.#running = false
    this.#cursor = this.#pending.length
    this.stampMs = null
    this.#suspects.clear()
    if (this.#blockOf.size > this.#pending.length + 64) this.#blockOf.clear()
  }

  #total(point: Point): Decoded {
    if (!point.total) return point.decode()
    const { memory } = point.total
    const raw = point.total.raw()
    if (raw === null) return point.decode()
    const suspect = this.#suspects.get(point.tag)
    const stands = suspect ? afterSecondRead(memory.before, suspect, raw) : raw
    if (stands === null) {
      this.unit.diagnosis.counters.torn++
      return { bad: 'torn' }
    }
    memory.before = stands
    return checkedCount(stands)
  }

  #stamp(tag: number, answeredAt: number): number {
    const last = this.unit.lastStamp[tag] ?? 0
    const hour = this.stampMs
    const stamp = hour !== null && answeredAt - hour <= hourToleranceMs && last <= hour ? hour : answeredAt
    this.unit.lastStamp[tag] = stamp
    return stamp
  }
}

function failureOf(items: readonly Item[]): Reason | null {
  for (const item of items) if (item.failure) return item.failure
  return null
}

function newest(items: readonly Item[]): number {
  let at = 0
  for (const item of items) if (item.answeredAt > at) at = item.answeredAt
  return at
}

export function reasonOf(failure: Failure): Reason {
  switch (failure.kind) {
    case 'exception':
      return failure.code === 10 ? 'unreachable' : failure.code === 11 ? 'timeout' : 'exception'
    case 'closed':
      return 'unreachable'
    default:
      return failure.kind
  }
}

const pick = <T>(list: readonly T[], indexes: readonly number[]): T[] => indexes.flatMap(index => list[index] ?? [])
