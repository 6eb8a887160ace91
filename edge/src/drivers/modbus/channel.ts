import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { Reason } from '@penstock/core/reading.ts'
import type { Cancel } from '@penstock/core/runtime/clock.ts'
import { type Backoff, type Supervisor, supervise } from '@penstock/core/runtime/supervisor.ts'
import type { ChannelConfig } from '../../config/site-file.ts'
import type { DriverChannel, DriverDeps, DriverDevice } from '../driver.ts'
import { type Failure, type ModbusClient, openModbusClient, type Stray } from './client.ts'
import { describeException } from './diagnosis.ts'
import { headerBytes, writeRegistersCode } from './frame.ts'
import { openJobs } from './jobs.ts'
import type { Request, Wire } from './request.ts'
import { reasonOf } from './scan.ts'
import { type Job, Unit } from './unit.ts'

const silentRequests = 3
const reconnect: Backoff = { minMs: 250, maxMs: 30_000, stableMs: 5000 }
const diagnosisMs = 10_000
/** phases are multiples of this: devices that are due together share a turn of the event loop */
const phaseStepMs = 25

/**
 * One Modbus TCP connection and the units behind it. Owns the wire: makes and renews the connection, decides what is sent
 * when, keeps dead units apart. Everything runs on one timer.
 */
export class ModbusChannel implements DriverChannel, Wire {
  readonly #config: ChannelConfig
  readonly #deps: DriverDeps
  readonly #units: readonly Unit[]
  readonly #unitOf = new Map<DriverDevice, Unit>()
  readonly #byUnitId = new Map<number, Unit>()
  readonly #ready: Job[] = []
  readonly #lastCounters = new Map<Unit, string>()
  #client: ModbusClient | null = null
  /** connection attempts that failed since the last connection */
  #failedConnects = 0
  #connections = 0
  #silence = 0
  #lastSettledAt = Number.NEGATIVE_INFINITY
  #cancelTimer: Cancel | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #cancelGap: Cancel | undefined
  #cancelDiagnosis: Cancel | undefined
  #pumping = false
  #supervisor: Supervisor | undefined
  #closed = false

  constructor(config: ChannelConfig, devices: readonly DriverDevice[], deps: DriverDeps) {
    this.#config = config
    this.#deps = deps
    const address = `modbus tcp ${config.host}:${config.port}`
    this.#units = devices.map(device => new Unit(device, address, deps.clock.now(), deps.ticker, deps.random))
    for (const unit of this.#units) {
      this.#unitOf.set(unit.device, unit)
      this.#byUnitId.set(unit.unitId, unit)
      openJobs(unit, this, deps)
    }
  }

  start(): void {
    if (this.#supervisor || this.#closed) return
    const { ticker, random, log } = this.#deps
    this.#spread()
    this.#supervisor = supervise({
      name: `channel ${this.#config.id}`,
      attempt: signal => this.#connect(signal),
      backoff: reconnect,
      ticker,
      random,
      log,
    })
    this.#tick()
    this.#watchDiagnoses()
  }

  readTotals(sourceTimestamp: number): void {
    if (this.#closed) return
    for (const unit of this.#units) {
      const job = unit.onTheHour
      if (!job || job.running || unit.breaker.isOpen || this.#isDown) continue
      job.stampMs = sourceTimestamp
      if (job.start()) this.#enqueue(job, true)
      else job.stampMs = null
    }
    this.#pump()
  }

  diagnosis(device: DriverDevice): DeviceDiagnosis {
    const unit = this.#unitOf.get(device)
    if (!unit) throw new RangeError(`${device.id} is not a device of channel ${this.#config.id}`)
    return unit.diagnosis.read(unit.breaker.isOpen ? this.#clockTimeOf(unit.breaker.nextTryAt) : null)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelTimer?.()
    this.#cancelGap?.()
    this.#cancelDiagnosis?.()
    this.#ready.length = 0
    for (const unit of this.#units) unit.stop(null)
    await this.#supervisor?.close()
  }

  // ---- the connection

  get #isDown(): boolean {
    return this.#client === null && this.#failedConnects > 0
  }

  async #connect(signal: AbortSignal): Promise<ModbusClient> {
    const { host, port, timeoutMs, connectTimeoutMs } = this.#config
    const { ticker } = this.#deps
    const onStray = (kind: Stray, unitId: number) => this.#stray(kind, unitId)
    try {
      const client = await openModbusClient({ host, port, timeoutMs, connectTimeoutMs, ticker, signal, onStray })
      this.#connected(client)
      return client
    } catch (error) {
      if (!signal.aborted) this.#unreachable(error instanceof Error ? error.message : String(error))
      throw error
    }
  }

  #connected(client: ModbusClient): void {
    const { id, host, port } = this.#config
    this.#deps.log.info({ channel: id, host, port }, 'connected')
    this.#client = client
    this.#connections++
    if (this.#connections > 1) for (const unit of this.#units) unit.diagnosis.counters.reconnects++
    this.#silence = 0
    void client.ended.then(() => {
      if (this.#client === client) this.#client = null
    })
    if (this.#failedConnects > 0) for (const unit of this.#units) unit.breaker.hurry()
    this.#failedConnects = 0
    this.#tick()
  }

  #unreachable(text: string): void {
    this.#failedConnects++
    const now = this.#deps.ticker.now()
    for (const unit of this.#units) this.#unitFailed(unit, now, 'unreachable', text)
    // what waits for the connection is not read in this cycle
    for (const job of this.#ready.splice(0)) {
      job.queued = false
      job.stop('unreachable')
    }
  }

  #stray(kind: Stray, unitId: number): void {
    const unit = this.#byUnitId.get(unitId)
    if (unit) unit.diagnosis.counters[kind]++
    this.#deps.log.debug({ channel: this.#config.id, unitId, kind }, 'answer dropped')
  }

  // ---- what requests tell

  answered(request: Request, data: Buffer, from: number): void {
    const { unit } = request
    this.#silence = 0
    const end = request.functionCode === writeRegistersCode ? from + 3 : from + request.answerBytes
    unit.diagnosis.answered(data, from - headerBytes - 2, end, this.#deps.clock.now())
    this.#unitAlive(unit)
  }

  failed(request: Request, failure: Failure): boolean {
    const { unit } = request
    const now = this.#deps.clock.now()
    const reason = reasonOf(failure)
    if (failure.kind === 'closed') {
      // a unit that ends the connection whenever it is asked would end it for all others too
      const text = 'the connection was lost before the answer came'
      return !this.#closed && this.#unitFailed(unit, request.sentAt, reason, text)
    }
    if (failure.kind === 'exception') {
      this.#silence = 0
      unit.diagnosis.refused(failure.code, now)
      const where =
        request.count === 1
          ? `register ${request.start}`
          : `registers ${request.start} to ${request.start + request.count - 1}`
      unit.diagnosis.failed(reason, `${describeException(failure.code)} on ${where}`, now)
      if (failure.code !== 10 && failure.code !== 11) {
        this.#unitAlive(unit)
        return true
      }
    } else {
      this.#silence++
      unit.diagnosis.counters.timeouts++
    }
    const text =
      failure.kind === 'exception'
        ? describeException(failure.code)
        : failure.kind === 'protocol'
          ? 'only answers that do not fit the request'
          : `no answer within ${this.#config.timeoutMs} ms`
    const alive = this.#unitFailed(unit, request.sentAt, reason, text)
    if (this.#silence >= silentRequests && this.#client) {
      // half-open connections look like this
      this.#silence = 0
      const client = this.#client
      queueMicrotask(() => client.close(`${silentRequests} requests in a row without an answer`))
    }
    return alive
  }

  settled(request: Request): void {
    this.#lastSettledAt = this.#deps.ticker.now()
    const { job } = request
    if (job.running && job.hasMore) {
      if (request.unit.breaker.failures > 0) this.#toTheEnd(job)
      else if (!job.queued) this.#enqueue(job, false)
    }
    this.#pump()
  }

  wake(job: Job): void {
    if (this.#closed) return
    job.early = true
    this.#arm(this.#deps.ticker.now())
  }

  #unitAlive(unit: Unit): void {
    const { breaker } = unit
    if (breaker.failures === 0 && unit.diagnosis.state === 'ok') return
    if (breaker.succeeded()) {
      this.#deps.log.info({ device: unit.device.id }, 'device answers again')
      for (const job of unit.jobs) job.early = !job.running
      this.#arm(this.#deps.ticker.now())
    }
    this.#enter(unit, 'ok')
  }

  /** Returns false when the unit is lost. */
  #unitFailed(unit: Unit, sentAt: number, reason: Reason, text: string): boolean {
    unit.diagnosis.failed(reason, text, this.#deps.clock.now())
    const wasOpen = unit.breaker.isOpen
    const opened = unit.breaker.failed(sentAt)
    if (!unit.breaker.isOpen) {
      this.#enter(unit, 'failing')
      return true
    }
    unit.stop(null)
    if (opened && !wasOpen) {
      this.#deps.log.warn({ device: unit.device.id, reason, text }, 'device lost')
      this.#deps.sink.lost(unit.device, reason)
      this.#enter(unit, 'open')
    }
    this.#arm(unit.breaker.nextTryAt)
    return false
  }

  #enter(unit: Unit, state: DeviceDiagnosis['state']): void {
    if (unit.diagnosis.enter(state, this.#deps.clock.now())) this.#deps.sink.diagnosed(unit.device)
  }

  // ---- the queue

  #enqueue(job: Job, first: boolean): void {
    if (job.queued || !job.running) return
    job.queued = true
    if (first) this.#ready.unshift(job)
    else this.#ready.push(job)
  }

  #toTheEnd(job: Job): void {
    const index = this.#ready.indexOf(job)
    if (index >= 0) this.#ready.splice(index, 1)
    job.queued = true
    this.#ready.push(job)
  }

  /** Sends as much as the wire takes. */
  #pump(): void {
    const client = this.#client
    if (!client || this.#pumping || this.#closed) return
    const room = this.#config.maxInFlight - client.inFlight
    if (room <= 0 || this.#ready.length === 0 || this.#mustWait()) return
    this.#pumping = true
    const cork = room > 1
    if (cork) client.cork()
    let at = 0
    while (client.isOpen && client.inFlight < this.#config.maxInFlight && at < this.#ready.length) {
      const job = this.#ready[at]
      if (!job) break
      const request = job.running ? job.next() : null
      if (request) {
        request.inFlight = true
        request.sentAt = this.#deps.ticker.now()
        client.send(request)
        request.unit.diagnosis.sent(request.frame, this.#deps.clock.now())
        if (this.#config.gapMs > 0) break
      } else if (job.running && job.hasMore) at++
      else {
        job.queued = false
        this.#ready.splice(at, 1)
      }
    }
    if (cork) client.uncork()
    this.#pumping = false
  }

  /** Silence between two requests, for slow gateways and serial lines behind them. */
  #mustWait(): boolean {
    const { gapMs } = this.#config
    if (gapMs === 0) return false
    const left = this.#lastSettledAt + gapMs - this.#deps.ticker.now()
    if (left <= 0) return false
    this.#cancelGap ??= this.#deps.ticker.after(left, () => {
      this.#cancelGap = undefined
      this.#pump()
    })
    return true
  }

  // ---- the clockwork

  /** Phases are spread over the period, so that the devices of a channel do not queue behind each other. */
  #spread(): void {
    const now = this.#deps.ticker.now()
    for (const [index, unit] of this.#units.entries()) {
      for (const job of unit.jobs) {
        if (job.periodMs === null) continue
        const share = (index + this.#deps.phase) / this.#units.length
        const step = Math.min(phaseStepMs, job.periodMs / 4)
        job.dueAt = now + Math.floor((job.periodMs * share) / step) * step
      }
    }
  }

  readonly #tick = (): void => {
    if (this.#closed) return
    const now = this.#deps.ticker.now()
    let next = Number.POSITIVE_INFINITY
    for (const unit of this.#units) {
      const at = unit.breaker.isOpen ? this.#probe(unit, now) : this.#startDue(unit, now)
      if (at < next) next = at
    }
    this.#arm(next, true)
    this.#pump()
  }

  /** Starts the jobs of a unit that are due; returns when the next one is. */
  #startDue(unit: Unit, now: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const job of unit.jobs) {
      if (job.periodMs === null) continue
      const due = job.dueAt <= now
      if (due || job.early) {
        // on the grid of the phase: no drift, and what was missed is counted and not made up for
        const periods = due ? Math.floor((now - job.dueAt) / job.periodMs) + 1 : 0
        job.dueAt += periods * job.periodMs
        const began = !job.running && job.start()
        if (began && this.#isDown) job.stop('unreachable')
        else if (began) this.#enqueue(job, false)
        // a run that is wanted out of turn and cannot begin yet stays wanted
        job.early = job.early && !began
        unit.diagnosis.counters.missedScans += began ? Math.max(0, periods - 1) : periods
      }
      if (job.dueAt < next) next = job.dueAt
    }
    return next
  }

  /** While the breaker is open one scan is tried per back-off; its first request is the probe. */
  #probe(unit: Unit, now: number): number {
    for (const job of unit.jobs) {
      if (job.periodMs !== null && job.dueAt <= now)
        job.dueAt += Math.ceil((now - job.dueAt + 1) / job.periodMs) * job.periodMs
    }
    if (this.#client === null || unit.busy) return Number.POSITIVE_INFINITY
    const { nextTryAt } = unit.breaker
    if (nextTryAt > now) return nextTryAt
    const job = unit.jobs[0]
    if (!job?.start()) return now + this.#config.timeoutMs
    this.#enqueue(job, false)
    return Number.POSITIVE_INFINITY
  }

  #arm(at: number, fresh = false): void {
    if (fresh) {
      this.#cancelTimer?.()
      this.#cancelTimer = undefined
      this.#timerAt = Number.POSITIVE_INFINITY
    }
    if (at >= this.#timerAt || at === Number.POSITIVE_INFINITY || this.#closed) return
    this.#cancelTimer?.()
    this.#timerAt = at
    this.#cancelTimer = this.#deps.ticker.after(Math.max(0, at - this.#deps.ticker.now()), this.#tick)
  }

  #watchDiagnoses(): void {
    this.#cancelDiagnosis = this.#deps.ticker.after(diagnosisMs, () => {
      for (const unit of this.#units) {
        const counters = troubles(unit)
        if (this.#lastCounters.get(unit) === counters) continue
        this.#lastCounters.set(unit, counters)
        this.#deps.sink.diagnosed(unit.device)
      }
      this.#watchDiagnoses()
    })
  }

  #clockTimeOf(tickerTime: number): number {
    return Math.round(this.#deps.clock.now() + Math.max(0, tickerTime - this.#deps.ticker.now()))
  }
}

/** The counters that say that something is wrong; those of healthy traffic change always and are no news. */
function troubles({ diagnosis: { counters } }: Unit): string {
  const { requests: _, answers: __, scans: ___, ...rest } = counters
  return Object.values(rest).join()
}
