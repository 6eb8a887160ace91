import type { DeliveryClass } from '@penstock/core/reading.ts'
import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { Boot } from '../acquisition/boot.ts'
import type { StoredTag } from './record.ts'
import type { DeliveryRules } from './rules.ts'
import type { ClockTrust } from './stamps.ts'

export interface OutboxLimits {
  /** bytes of all classes together; the oldest segments of the least important class are dropped beyond it */
  readonly maxBytes: number
  readonly segmentBytes: number
  /** longest time that a reading of class total or raw waits for its sync */
  readonly syncMs: number
  /** unconfirmed readings older than this are dropped; 0: never */
  readonly maxAgeMs: number
}

export interface OutboxOptions {
  readonly files: FileLayer
  readonly folder: string
  readonly clock: Clock
  readonly ticker: Ticker
  readonly log: Logger
  /** uniform in [0, 1) */
  readonly random: () => number
  readonly hardwareId: string
  readonly limits: OutboxLimits
  readonly boot: Boot
  readonly trust: ClockTrust
  /** What the site file says of a tag; undefined for one that it does not have. */
  readonly describe: (tag: string) => Omit<StoredTag, 'tag' | 'type'> | undefined
  readonly rules?: DeliveryRules
}

/** Told by the outbox, synchronously; must not throw. */
export interface OutboxWatcher {
  /** More of a class may be published, or a block that `take` asked for has been read. */
  readonly ready: (name: DeliveryClass) => void
  /** A sync of the class has been running for 100 ms: values go out as live copies meanwhile. */
  readonly slow: (name: DeliveryClass) => void
}

export interface OutboxCounters {
  readonly appended: number
  /** declared as lost: dropped or unreadable batches */
  readonly lost: number
  /** batches that were not taken because the disk had failed and memory was full */
  readonly refused: number
}
