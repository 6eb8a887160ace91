import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { Profile, ProfileTag } from '@penstock/core/profile/schema.ts'
import type { Quality, Reason, Value } from '@penstock/core/reading.ts'
import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { Logbook } from '../acquisition/acquisition.ts'
import type { ChannelConfig, DeviceConfig } from '../config/site-file.ts'

/** A tag of a device as its driver sees it; drivers name tags by their index in `DriverDevice.tags`. */
export interface DriverTag {
  readonly name: string
  readonly profile: ProfileTag
  /** how often it is wanted; a condition of a quality rule is read as often as the tags that it rules */
  readonly scanMs: number
}

export interface DriverDevice {
  /** Sparkplug device id */
  readonly id: string
  readonly config: DeviceConfig
  readonly profile: Profile
  readonly tags: readonly DriverTag[]
}

/** What a driver read of one tag. Only valid during the call that hands it over. */
export interface DriverReading {
  /** index in `DriverDevice.tags` */
  readonly tag: number
  /** null when bad */
  readonly value: Value | null
  readonly quality: Quality
  readonly reason: Reason | null
  /** ms UTC */
  readonly sourceTimestamp: number
}

export interface ScanOptions {
  /** report every reading, changed or not (rows of a data logger, totals at full hours) */
  readonly force?: boolean
  /** called once, when all of it is durable */
  readonly durable?: () => void
}

/** Where a driver puts what it reads: polled scans and subscribed notifications alike. */
export interface DriverSink {
  /** Readings that belong together. A device that was lost and is scanned again is back. */
  scanned(device: DriverDevice, readings: readonly DriverReading[], options?: ScanOptions): void
  /** Nothing can be read from the device until further notice. */
  lost(device: DriverDevice, reason: Reason): void
  /** `diagnosis(device)` of the channel tells something new. */
  diagnosed(device: DriverDevice): void
}

export interface DriverDeps {
  readonly clock: Clock
  readonly ticker: Ticker
  readonly log: Logger
  readonly sink: DriverSink
  readonly logbook: Logbook
  /** place of the channel among all, for spreading the phases: 0 ≤ phase < 1 */
  readonly phase: number
  /** for jitter: 0 ≤ random() < 1 */
  readonly random: () => number
}

/** One wire with its devices. Polls by itself (or subscribes), reconnects by itself. */
export interface DriverChannel {
  start(): void
  /** Reads all totals now; what is answered at once is stamped with `sourceTimestamp` (a full hour). */
  readTotals(sourceTimestamp: number): void
  diagnosis(device: DriverDevice): DeviceDiagnosis
  close(): Promise<void>
}

export interface Driver {
  /** @throws PenstockError `config-invalid` if a profile asks for what the protocol cannot do */
  openChannel(channel: ChannelConfig, devices: readonly DriverDevice[], deps: DriverDeps): DriverChannel
}
