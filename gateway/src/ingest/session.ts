import type { DeliveryClass, Reading } from '@penstock/core/reading.ts'
import type { Metric, Payload } from '@penstock/core/sparkplug/payload.ts'
import type { BatchLane } from './batch-lane.ts'
import { isControl, type NodeBirth, type TagSource, toReading } from './births.ts'
import type { ConfirmPolicy } from './confirm.ts'
import { Sequence } from './sequence.ts'

/** Aliases of one edge; a node of somebody else may not fill the memory. */
export const maxTags = 200_000

export interface DataReadings {
  readonly current: Reading[]
  readonly history: Reading[]
  /** metrics that no birth declared for this device */
  readonly unresolved: number
}

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

  /** The readings of DATA: those that are current, and those that are history; what no birth declared is only counted. */
  readings(device: string | null, payload: Payload, now: number): DataReadings {
    const current: Reading[] = []
    const history: Reading[] = []
    let unresolved = 0
    const otherwiseAt = payload.timestamp ?? now
    for (const metric of payload.metrics) {
      if (isReport(metric)) continue
      const source = this.#resolve(device, metric)
      if (!source) unresolved++
      else if (metric.isHistorical === true || source.retired || source.retyped)
        history.push(toReading(source, metric, otherwiseAt))
      else current.push(toReading(source, metric, otherwiseAt))
    }
    return { current, history, unresolved }
  }

  /** The readings of DATA as they stand in it. */
  readingsInOrder(device: string | null, payload: Payload, now: number): Reading[] {
    return payload.metrics.flatMap(metric => {
      const source = isReport(metric) ? undefined : this.#resolve(device, metric)
      return source ? [toReading(source, metric, payload.timestamp ?? now)] : []
    })
  }

  /** What a metric of DATA means, or undefined: no birth declared it for this device. */
  #resolve(device: string | null, metric: Metric): TagSource | undefined {
    const source =
      metric.alias === undefined ? this.#names.get(nameKey(device, metric.name)) : this.#aliases.get(metric.alias)
    return source?.device === device ? source : undefined
  }
}

const nameKey = (device: string | null, name: string | undefined): string => `${device ?? ''}/${name ?? ''}`

/** Metrics that are no readings. */
const isReport = ({ alias, name }: Metric): boolean => alias === undefined && name !== undefined && isControl(name)
