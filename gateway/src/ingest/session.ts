import type { DeliveryClass } from '@penstock/core/reading.ts'
import type { Metric } from '@penstock/core/sparkplug/payload.ts'
import type { BatchLane } from './batch-lane.ts'
import type { NodeBirth, TagSource } from './births.ts'
import type { ConfirmPolicy } from './confirm.ts'
import { Sequence } from './sequence.ts'

/** Aliases of one edge; a node of somebody else may not fill the memory. */
export const maxTags = 200_000

/** What one NBIRTH began, and what the births after it declared. */
export class Session {
  readonly birth: NodeBirth
  /** machine time */
  readonly bornAt: number
  readonly confirm: ConfirmPolicy
  /** null for a foreign node */
  readonly lane: BatchLane | null
  readonly sequence: Sequence
  /** positions that the edge says it has given out */
  readonly end: Record<DeliveryClass, number>
  /** batches of another session since this birth */
  aliens = 0
  /** devices that were born in this session */
  readonly born = new Set<string>()
  /** sites that the births named */
  readonly sites = new Set<string>()
  readonly #aliases = new Map<number, TagSource>()
  readonly #names = new Map<string, TagSource>()

  constructor(birth: NodeBirth, bornAt: number, confirm: ConfirmPolicy, lane: BatchLane | null) {
    this.birth = birth
    this.bornAt = bornAt
    this.confirm = confirm
    this.lane = lane
    this.sequence = new Sequence(birth.seq)
    this.end = birth.delivery?.end ?? { alarm: 0, total: 0, raw: 0 }
  }

  /** False when the edge has more tags than it may. */
  declare(source: TagSource, metric: Metric): boolean {
    if (this.#names.size >= maxTags) return false
    if (metric.alias !== undefined) this.#aliases.set(metric.alias, source)
    this.#names.set(nameKey(source.device, metric.name), source)
    return true
  }

  /** What a metric of DATA means, or undefined: no birth declared it for this device. */
  resolve(device: string | null, metric: Metric): TagSource | undefined {
    const source =
      metric.alias === undefined ? this.#names.get(nameKey(device, metric.name)) : this.#aliases.get(metric.alias)
    return source?.device === device ? source : undefined
  }
}

const nameKey = (device: string | null, name: string | undefined): string => `${device ?? ''}/${name ?? ''}`
