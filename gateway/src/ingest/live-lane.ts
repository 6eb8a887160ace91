import type { Reading } from '@penstock/core/reading.ts'
import type { LiveTable } from '../live/live-table.ts'
import type { IngestCounters } from './counters.ts'
import type { Inbox } from './inbox.ts'
import type { EdgeKey } from './record.ts'

export interface LiveLaneContext {
  readonly inbox: Pick<Inbox, 'append' | 'takesBatches' | 'takesLive'>
  readonly live: LiveTable
  readonly counters: IngestCounters
  /** whether an alarm rule reads the tag: its live values go through the inbox */
  readonly readsLive: (tag: string) => boolean
  /** live values as they are shown, of every edge */
  readonly onLive: (edge: EdgeKey, readings: readonly Reading[], receivedAt: number) => void
}

/** What values do that are no batches: births, live copies, nodes without positions (delivery protocol, rule 17). */
export class LiveLane {
  readonly #edge: EdgeKey
  readonly #context: LiveLaneContext

  constructor(edge: EdgeKey, context: LiveLaneContext) {
    this.#edge = edge
    this.#context = context
  }

  /** On the screens. */
  show(readings: readonly Reading[], inOrder: boolean, receivedAt: number): void {
    const { live, onLive } = this.#context
    if (readings.length === 0) return
    for (const reading of readings) live.update(this.#edge, reading, receivedAt, inOrder)
    onLive(this.#edge, readings, receivedAt)
  }

  /** To the live lane of the alarms. Never counted. @throws PenstockError what the inbox throws */
  alarm(readings: readonly Reading[], receivedAt: number, skewMs: number): void {
    const { inbox, readsLive, counters } = this.#context
    const read = readings.filter(({ tag }) => readsLive(tag))
    if (read.length === 0) return
    if (inbox.takesLive) inbox.append({ kind: 'live', edge: this.#edge, receivedAt, skewMs, readings: read })
    else counters.refusedLive += read.length
  }

  /**
   * Readings of a node without positions count by key: tag, source time. They are lost when they cannot be kept now.
   * @throws PenstockError what the inbox throws
   */
  countByKey(readings: readonly Reading[], live: boolean, receivedAt: number, skewMs: number): void {
    const { inbox, counters } = this.#context
    if (readings.length === 0) return
    if (!inbox.takesBatches) {
      counters.foreignLost += readings.length
      return
    }
    const position = { epoch: '', class: 'raw', from: 0, pos: 0, crc: 0 } as const
    inbox.append({ kind: 'batch', edge: this.#edge, ...position, receivedAt, skewMs, live, readings })
    counters.readings += readings.length
  }
}
