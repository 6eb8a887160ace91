import type { DeliveryClass, Reading } from '../reading.ts'

/** A reading as the outbox keeps it: beside UTC the boot id and monotonic time, so that a box without a clock can be re-stamped. */
export interface BatchReading extends Reading {
  readonly monotonicMs: number
}

/** The unit of delivery: readings of one device from one scan, at most `maxReadings` and about `maxBytes` on the wire. */
export interface Batch {
  readonly class: DeliveryClass
  /** Sparkplug device id, or null for what the edge itself says (losses, alarm transitions): NDATA */
  readonly device: string | null
  readonly bootId: string
  readonly readings: readonly BatchReading[]
}

export const maxReadings = 500
export const maxBatchBytes = 32 * 1024

/** A declared loss, kept in class alarm and sent as NDATA metric `Delivery/Loss` (String, JSON of this). Positions [from, to). */
export interface DeclaredLoss {
  readonly class: DeliveryClass
  readonly from: number
  readonly to: number
  /** source times of the first and last lost reading, null if unreadable */
  readonly firstMs: number | null
  readonly lastMs: number | null
  readonly reason: 'outbox-full' | 'too-old' | 'unreadable' | 'disk-image'
}
