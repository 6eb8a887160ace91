/** The wire and storage type of a tag's value; the names are Sparkplug's. */
export const dataTypes = ['Boolean', 'Int32', 'UInt32', 'Int64', 'UInt64', 'Float', 'Double', 'String'] as const
export type DataType = (typeof dataTypes)[number]

/** Int64 and UInt64 are always bigint, the other numbers always number; never NaN, never infinite. */
export type Value = boolean | number | bigint | string

export const qualities = ['good', 'uncertain', 'bad'] as const
export type Quality = (typeof qualities)[number]

/**
 * Why a reading is not good: a closed list, sent as the Sparkplug property `reason`.
 * Reasons of `bad` (no value at all) first, then those of `uncertain` (a value to be used with care).
 */
export const reasons = [
  // bad
  'not-read', // configured, nothing read since the start
  'timeout', // the device did not answer in time
  'unreachable', // no connection to the device or its channel
  'exception', // the device answered with a protocol exception
  'protocol', // the answer made no sense
  'not-a-number', // NaN or infinite
  'placeholder', // the device's own mark for "no value" (0xFFFF, 0x8000, ...)
  'out-of-range', // outside what the instrument can measure
  'device-fault', // the device reports that it is broken (empty pipe, cell failure, ...)
  'torn', // parts of one value did not belong together, also after reading again
  'configuration', // the site file asks for what the device does not have
  'edge-offline', // said by the gateway: the edge's session has ended
  'device-offline', // said by the gateway: DDEATH, or missing in the birth
  'retired', // no longer configured; listed only because older readings are on their way
  // uncertain
  'clock', // the stamp may be wrong
  'inhibit', // the device is in calibration or maintenance
  'device-warning', // the device warns, the value still stands
  'frozen', // has not changed for implausibly long
  'foreign', // a foreign Sparkplug node marked it stale
] as const
export type Reason = (typeof reasons)[number]

/** Delivery classes, most urgent first (a tag belongs to exactly one). */
export const deliveryClasses = ['alarm', 'total', 'raw'] as const
export type DeliveryClass = (typeof deliveryClasses)[number]

/**
 * One value of one tag at one time.
 * A bad reading has `value: null`; good and uncertain ones have a value. `reason` is null exactly when the quality is good.
 */
export interface Reading {
  /** `site/device/tag` */
  readonly tag: string
  readonly type: DataType
  readonly value: Value | null
  readonly quality: Quality
  readonly reason: Reason | null
  /** ms UTC by the clock of whoever took the reading (the edge, or the instrument if it stamps) */
  readonly sourceTimestamp: number
}
