import type { Reason } from '@penstock/core/reading.ts'
import type { Ticker } from '@penstock/core/runtime/clock.ts'
import type { DriverDevice } from '../driver.ts'
import { Breaker, unitBreaker } from './breaker.ts'
import type { Failure } from './client.ts'
import { UnitDiagnosis } from './diagnosis.ts'
import type { Request } from './request.ts'

/** A sequence of requests to one unit: a scan, or the reading of a data logger. */
export interface Job {
  readonly unit: Unit
  /** when it is due next, on the ticker */
  dueAt: number
  /** wanted once before it is due */
  early: boolean
  readonly running: boolean
  /** it stands in the channel's queue */
  queued: boolean
  /** Begins a run. Returns false when it cannot (an old request is still on the wire). */
  start(): boolean
  /** The next request to send now, or null. */
  next(): Request | null
  /** Whether `next` may give something later in this run. */
  readonly hasMore: boolean
  /** Ends the run, if there is one: with a reason what is missing is reported as bad; without one the unit is lost. */
  stop(reason: Reason | null): void
  /** Not called for a request whose job was stopped meanwhile. */
  answered(request: Request, data: Buffer, from: number): void
  failed(request: Request, failure: Failure): void
  /** A request of a stopped run came to an end. */
  forget(): void
}

/** One unit id of a channel: its device, breaker and diagnosis. */
export class Unit {
  readonly device: DriverDevice
  readonly unitId: number
  readonly breaker: Breaker
  readonly diagnosis: UnitDiagnosis
  /** by ascending period */
  readonly periodic: { readonly periodMs: number; readonly job: Job }[] = []
  /** reads the totals out of turn */
  onTheHour: (Job & { stampMs: number | null }) | null = null
  /** stamp of the newest reading of each tag, so that stamps of a tag never go back */
  readonly lastStamp: Float64Array

  constructor(device: DriverDevice, address: string, now: number, ticker: Ticker, random: () => number) {
    this.device = device
    this.lastStamp = new Float64Array(device.tags.length)
    this.unitId = device.config.unitId
    this.breaker = new Breaker(ticker, unitBreaker, random)
    this.diagnosis = new UnitDiagnosis(`${address} unit ${device.config.unitId}`, now)
  }

  get busy(): boolean {
    return this.periodic.some(({ job }) => job.running) || (this.onTheHour?.running ?? false)
  }

  stop(reason: Reason | null): void {
    for (const { job } of this.periodic) job.stop(reason)
    this.onTheHour?.stop(reason)
  }
}
