import type { DataType, DeliveryClass } from './reading.ts'

/** What a birth tells about a tag beside its value; Sparkplug properties of the metric, by these names. */
export interface TagDescription {
  /** third part of `site/device/tag`; the Sparkplug metric name */
  readonly name: string
  readonly type: DataType
  readonly class: DeliveryClass
  /** a unit of `units.ts`, null for a number without unit, a Boolean or a String */
  readonly unit: string | null
  readonly scanMs: number
  /** smallest change worth reporting, in `unit`; null: every change */
  readonly deadband: number | null
  /** an unchanged value is reported again after this time */
  readonly heartbeatMs: number
  /** totals (Int64): unit per count as a decimal text, e.g. "0.001" */
  readonly resolution: string | null
  /** totals: count at which the register starts again from 0, as a decimal text */
  readonly modulus: string | null
  /** measuring range in `unit` */
  readonly min: number | null
  readonly max: number | null
}

/** A device as its edge declares it. Sparkplug device id: `site:device` (unique under the edge; ids contain no colon). */
export interface DeviceDescription {
  readonly site: string
  readonly device: string
  readonly area: string | null
  readonly profile: string
  readonly tags: readonly TagDescription[]
}

export const sparkplugDeviceId = (site: string, device: string): string => `${site}:${device}`
