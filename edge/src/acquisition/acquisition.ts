import type { Batch } from '@penstock/core/delivery/batch.ts'
import type { DeviceDescription } from '@penstock/core/description.ts'
import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { Reading, Reason } from '@penstock/core/reading.ts'
import type { Cancel, Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { SiteFile } from '../config/site-file.ts'
import type { DriverChannel, DriverDevice, DriverReading, DriverSink, ScanOptions } from '../drivers/driver.ts'
import { drivers } from '../drivers/registry.ts'
import { type Boot, openBoot } from './boot.ts'
import { DeviceState } from './device-state.ts'
import { describeDevice } from './devices.ts'
import { atFullHours } from './full-hour.ts'

/** Where the acquisition puts what it reads. Called synchronously, in the order of reading; must not throw. */
export interface AcquisitionSink {
  /** Readings worth sending: one device, one scan, one class. `durable` is called once, after the fdatasync that covers them. */
  report(batch: Batch, durable?: () => void): void
  /** The breaker of a device opened or closed; what made its readings bad was reported before. `device`: Sparkplug device id. */
  deviceState(device: string, online: boolean): void
  /** The state of a device changed, or (at most every 10 s) its counters did. */
  diagnosis(device: string, diagnosis: DeviceDiagnosis): void
}

/** What the outbox remembers of data loggers, so that no row is read twice after a crash. */
export interface Logbook {
  /** Number of the last row of the device (Sparkplug device id) that is durable here; null: none yet. */
  lastRow(device: string): bigint | null
}

/** Reads the devices of a site file and reports what is worth sending. Devices are named by their Sparkplug device id. */
export interface Acquisition {
  readonly devices: readonly DeviceDescription[]
  /** Newest reading of every tag of a device, for births; `bad/not-read` before the first scan. */
  current(device: string): readonly Reading[]
  isOnline(device: string): boolean
  diagnosis(device: string): DeviceDiagnosis
  /** Sorted set and reset points of all alarm rules per tag; null: unknown, then no deadband holds anything back. */
  setAlarmLimits(limits: ReadonlyMap<string, readonly number[]> | null): void
  start(): void
  close(): Promise<void>
}

export interface AcquisitionDeps {
  readonly clock: Clock
  readonly ticker: Ticker
  readonly log: Logger
  readonly sink: AcquisitionSink
  readonly logbook: Logbook
  /** how much faster than the machine's the clock runs; default 1 */
  readonly timeFactor?: number
  /** for jitter; default Math.random */
  readonly random?: () => number
}

/** Opens the drivers of all channels; nothing is read before `start()`. @throws PenstockError `config-invalid` */
export async function openAcquisition(site: SiteFile, deps: AcquisitionDeps): Promise<Acquisition> {
  const acquisition = new Channels(site, deps, openBoot(deps.ticker))
  await acquisition.open(site, deps)
  return acquisition
}

class Channels implements Acquisition, DriverSink {
  readonly devices: readonly DeviceDescription[]
  readonly #deps: AcquisitionDeps
  readonly #states = new Map<string, DeviceState>()
  readonly #channels: DriverChannel[] = []
  readonly #channelOf = new Map<string, DriverChannel>()
  #cancelHours: Cancel | undefined
  #closing: Promise<void> | undefined

  constructor(site: SiteFile, deps: AcquisitionDeps, boot: Boot) {
    this.#deps = deps
    const now = deps.clock.now()
    for (const config of site.devices) {
      const { device, description } = describeDevice(site, config, deps.timeFactor)
      this.#states.set(device.id, new DeviceState(device, description, boot, now))
    }
    this.devices = [...this.#states.values()].map(state => state.description)
  }

  async open(site: SiteFile, { clock, ticker, log, logbook, random = Math.random }: AcquisitionDeps): Promise<void> {
    for (const [index, config] of site.channels.entries()) {
      const devices = [...this.#states.values()]
        .map(state => state.device)
        .filter(device => device.config.channel === config.id)
      if (devices.length === 0) continue
      const driver = await drivers[config.driver]()
      const phase = index / site.channels.length
      const channel = driver.openChannel(config, devices, { clock, ticker, log, logbook, random, phase, sink: this })
      this.#channels.push(channel)
      for (const device of devices) this.#channelOf.set(device.id, channel)
    }
  }

  current(device: string): readonly Reading[] {
    return this.#state(device).current()
  }

  isOnline(device: string): boolean {
    return this.#state(device).online
  }

  diagnosis(device: string): DeviceDiagnosis {
    const channel = this.#channelOf.get(device)
    if (!channel) throw new RangeError(`there is no device ${device}`)
    return channel.diagnosis(this.#state(device).device)
  }

  setAlarmLimits(limits: ReadonlyMap<string, readonly number[]> | null): void {
    for (const state of this.#states.values()) state.setLimits(limits)
  }

  start(): void {
    if (this.#cancelHours || this.#closing) return
    this.#cancelHours = atFullHours(this.#deps.clock, hour => {
      for (const channel of this.#channels) channel.readTotals(hour)
    })
    for (const channel of this.#channels) channel.start()
  }

  close(): Promise<void> {
    this.#cancelHours?.()
    this.#closing ??= Promise.all(this.#channels.map(channel => channel.close())).then(() => {})
    return this.#closing
  }

  scanned(device: DriverDevice, readings: readonly DriverReading[], options: ScanOptions = {}): void {
    if (this.#closing) return
    const state = this.#state(device.id)
    const batches = state.take(readings, this.#deps.clock.now(), options.force ?? false)
    if (!state.online) {
      // after `current` holds the new values, so that the birth shows them
      state.online = true
      this.#deps.sink.deviceState(device.id, true)
    }
    this.#report(batches, options.durable)
  }

  lost(device: DriverDevice, reason: Reason): void {
    if (this.#closing) return
    const state = this.#state(device.id)
    this.#report(state.lose(reason, this.#deps.clock.now()), undefined)
    if (!state.online) return
    state.online = false
    this.#deps.sink.deviceState(device.id, false)
  }

  diagnosed(device: DriverDevice): void {
    if (!this.#closing) this.#deps.sink.diagnosis(device.id, this.diagnosis(device.id))
  }

  #report(batches: readonly Batch[], durable: (() => void) | undefined): void {
    let waiting = batches.length
    const done = durable && (() => --waiting === 0 && durable())
    for (const batch of batches) this.#deps.sink.report(batch, done)
  }

  #state(device: string): DeviceState {
    const state = this.#states.get(device)
    if (!state) throw new RangeError(`there is no device ${device}`)
    return state
  }
}
