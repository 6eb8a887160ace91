import type { Batch } from '@penstock/core/delivery/batch.ts'
import type { DeviceDescription } from '@penstock/core/description.ts'
import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { Reading } from '@penstock/core/reading.ts'

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
