import type { DataType, DeliveryClass, Quality, Reason, Value } from '@penstock/core/reading.ts'

/** What is known of a tag now. A bad one has `value: null`; the last good value is kept apart, with its time. */
export interface LiveTag {
  readonly tag: string
  readonly edge: string
  readonly type: DataType
  readonly class: DeliveryClass
  readonly unit: string | null
  readonly value: Value | null
  readonly quality: Quality
  readonly reason: Reason | null
  readonly sourceTimestamp: number
  readonly receivedAt: number
  readonly lastGood: { readonly value: Value; readonly sourceTimestamp: number } | null
  readonly scanMs: number | null
  readonly deadband: number | null
  readonly heartbeatMs: number | null
  /** Int64 totals: m³ (or unit) per count as a decimal text, e.g. "0.001"; null otherwise */
  readonly resolution: string | null
  readonly modulus: string | null
}

/** What is known of an edge now. */
export interface LiveEdge {
  /** `group/edge` */
  readonly edge: string
  readonly online: boolean
  readonly registered: boolean
  readonly hardwareId: string | null
  /** name and version of what runs on it, as it says */
  readonly software: string | null
  readonly epoch: string | null
  /** since when it is online or offline */
  readonly since: number
  /** |skew| > 2 s is a clock alarm */
  readonly skewMs: number | null
  /** batches that the edge holds and the gateway has not confirmed, by class; null while unknown */
  readonly backlog: Readonly<Record<DeliveryClass, number>> | null
  /** receivedAt − (source time + skew) of the newest durable reading, ms; null before the first */
  readonly lagMs: number | null
  readonly lostBatches: number
  /**
   * what is wrong, in a word; nothing is confirmed then, the edge keeps its data: 'unknown-edge' | 'other-hardware' |
   * 'duplicate-identity' | 'unsupported-version' | 'foreign-site' | 'not-obeyed' | 'storage-full' | 'another-gateway' | null
   */
  readonly problem: string | null
  readonly devices: readonly { readonly device: string; readonly site: string | null; readonly online: boolean }[]
}
