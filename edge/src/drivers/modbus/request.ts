import type { Exchange, Failure } from './client.ts'
import { dataBytes, type ReadCode, readFrame, writeFrame, writeRegistersCode } from './frame.ts'
import type { Job, Unit } from './unit.ts'

/** The channel as its requests see it. */
export interface Wire {
  answered(request: Request, data: Buffer, from: number): void
  /** Returns false when the unit is lost by it: its jobs have been stopped. */
  failed(request: Request, failure: Failure): boolean
  /** The request came to an end: there may be room for the next one. */
  settled(request: Request): void
  /** The job wants to run now. */
  wake(job: Job): void
}

/** One request of one unit, prepared once and sent again and again. */
export class Request implements Exchange {
  frame: Buffer
  readonly unit: Unit
  readonly unitId: number
  readonly functionCode: number
  readonly start: number
  readonly count: number
  readonly answerBytes: number
  /** on the ticker */
  sentAt = 0
  readonly #wire: Wire
  readonly #job: Job

  constructor(unit: Unit, wire: Wire, job: Job, functionCode: number, start: number, count: number, frame: Buffer) {
    this.unit = unit
    this.unitId = unit.unitId
    this.functionCode = functionCode
    this.start = start
    this.count = count
    this.frame = frame
    this.answerBytes = functionCode === writeRegistersCode ? 0 : dataBytes(functionCode as ReadCode, count)
    this.#wire = wire
    this.#job = job
  }

  get job(): Job {
    return this.#job
  }

  answered(data: Buffer, from: number): void {
    this.#wire.answered(this, data, from)
    if (this.#job.running) this.#job.answered(this, data, from)
    else this.#job.forget()
    this.#wire.settled(this)
  }

  failed(failure: Failure): void {
    if (this.#wire.failed(this, failure) && this.#job.running) this.#job.failed(this, failure)
    else this.#job.forget()
    this.#wire.settled(this)
  }
}

export const readRequest = (
  unit: Unit,
  wire: Wire,
  job: Job,
  functionCode: ReadCode,
  start: number,
  count: number,
): Request =>
  new Request(unit, wire, job, functionCode, start, count, readFrame(unit.unitId, functionCode, start, count))

export const writeRequest = (unit: Unit, wire: Wire, job: Job, start: number, registers: Buffer): Request =>
  new Request(
    unit,
    wire,
    job,
    writeRegistersCode,
    start,
    registers.length / 2,
    writeFrame(unit.unitId, start, registers),
  )
