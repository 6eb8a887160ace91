import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { Reason } from '@penstock/core/reading.ts'
import type { Cancel } from '@penstock/core/runtime/clock.ts'
import { type Backoff, type Supervisor, supervise } from '@penstock/core/runtime/supervisor.ts'
import type { ChannelConfig } from '../../config/site-file.ts'
import type { DriverChannel, DriverDeps, DriverDevice } from '../driver.ts'
import { type Failure, type ModbusClient, openModbusClient, type Stray } from './client.ts'
import { describeFailure } from './diagnosis.ts'
import { watchDiagnoses } from './diagnosis-watch.ts'
import { headerBytes, writeRegistersCode } from './frame.ts'
import { openJobs } from './jobs.ts'
import { ReadyQueue } from './ready-queue.ts'
import type { Request, Wire } from './request.ts'
import { reasonOf } from './scan.ts'
import { skipDue, spreadPhases, startDue } from './schedule.ts'
import { type Job, Unit } from './unit.ts'

const silentRequests = 3
const reconnect: Backoff = { minMs: 250, maxMs: 30_000, stableMs: 5000 }

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
  readonly #ready = new ReadyQueue()
  #client: ModbusClient | null = null
  /** connection attempts that failed since the last connection */
  #failedConnects = 0
  #connections = 0
  /** requests in a row that nobody answered, and when the last of them was given up */
  #silence = 0
  #silentSince = Number.NEGATIVE_INFINITY
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
    spreadPhases(this.#units, this.#deps.phase, ticker.now())
    this.#supervisor = supervise({
      name: `channel ${this.#config.id}`,
      attempt: signal => this.#connect(signal),
      backoff: reconnect,
      ticker,
      random,
      log,
    })
    this.#tick()
    this.#cancelDiagnosis = watchDiagnoses(this.#units, ticker, unit => this.#deps.sink.diagnosed(unit.device))
  }

  readTotals(sourceTimestamp: number): void {
    if (this.#closed) return
    for (const unit of this.#units) {
      const job = unit.onTheHour
      if (!job || job.running || unit.breaker.isOpen || this.#isDown) continue
      job.stampMs = sourceTimestamp
      if (job.start()) this.#ready.add(job, true)
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
    this.#ready.drain()
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
    for (const job of this.#ready.drain()) job.stop('unreachable')
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
    if (this.#closed) return false
    const reason = reasonOf(failure)
    let text = describeFailure(failure, this.#config.timeoutMs)
    if (failure.kind === 'exception') {
      const now = this.#deps.clock.now()
      const last = request.start + request.count - 1
      text += request.count === 1 ? ` on register ${last}` : ` on registers ${request.start} to ${last}`
      this.#silence = 0
      unit.diagnosis.refused(failure.code, now)
      if (reason === 'exception') {
        unit.diagnosis.failed(reason, text, now)
        this.#unitAlive(unit)
        return true
      }
    } else if (failure.kind === 'closed') unit.diagnosis.counters.cut++
    else {
      this.#noAnswer(request)
      unit.diagnosis.counters.timeouts++
    }
    // a unit that ends the connection whenever it is asked would end it for all others too: it counts against the unit
    const alive = this.#unitFailed(unit, request.sentAt, reason, text)
    if (this.#silence >= silentRequests) this.#renewConnection()
    return alive
  }

  /** Requests that were in flight together count once. */
  #noAnswer(request: Request): void {
    if (request.sentAt < this.#silentSince) return
    this.#silentSince = this.#deps.ticker.now()
    this.#silence++
  }

  /** Half-open connections look like this: nothing comes back, and nobody says so. */
  #renewConnection(): void {
    this.#silence = 0
    const client = this.#client
    queueMicrotask(() => client?.close(`${silentRequests} requests in a row without an answer`))
  }

  settled(request: Request): void {
    this.#lastSettledAt = this.#deps.ticker.now()
    const { job } = request
    if (job.running && job.hasMore) {
      if (request.unit.breaker.failures > 0) this.#ready.toTheEnd(job)
      else this.#ready.add(job)
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
      for (const { job } of unit.periodic) job.early = !job.running
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

  // ---- the wire

  /** Sends as much as the wire takes. */
  #pump(): void {
    const client = this.#client
    if (!client || this.#pumping || this.#closed) return
    const room = this.#config.maxInFlight - client.inFlight
    if (room <= 0 || this.#ready.isEmpty || this.#mustWait()) return
    this.#pumping = true
    if (room > 1) client.cork()
    while (client.isOpen && client.inFlight < this.#config.maxInFlight) {
      const request = this.#ready.next()
      if (!request) break
      request.sentAt = this.#deps.ticker.now()
      client.send(request)
      request.unit.diagnosis.sent(request.frame, this.#deps.clock.now())
      if (this.#config.gapMs > 0) break
    }
    if (room > 1) client.uncork()
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

  readonly #tick = (): void => {
    if (this.#closed) return
    const now = this.#deps.ticker.now()
    let next = Number.POSITIVE_INFINITY
    for (const unit of this.#units) {
      const at = unit.breaker.isOpen ? this.#probe(unit, now) : startDue(unit, now, this.#begun)
      if (at < next) next = at
    }
    this.#arm(next, true)
    this.#pump()
  }

  readonly #begun = (job: Job): void => {
    if (this.#isDown) job.stop('unreachable')
    else this.#ready.add(job)
  }

  /** While the breaker is open one scan is tried per back-off; its first request is the probe. */
  #probe(unit: Unit, now: number): number {
    skipDue(unit, now)
    if (this.#client === null || unit.busy) return Number.POSITIVE_INFINITY
    const { nextTryAt } = unit.breaker
    if (nextTryAt > now) return nextTryAt
    const job = unit.periodic[0]?.job
    if (!job?.start()) return now + this.#config.timeoutMs
    this.#ready.add(job)
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

  #clockTimeOf(tickerTime: number): number {
    return Math.round(this.#deps.clock.now() + Math.max(0, tickerTime - this.#deps.ticker.now()))
  }
}
