import type { DeliveryClass } from '@penstock/core/reading.ts'
import type { Segment } from '@penstock/core/runtime/durable-log.ts'

/** Share of the outbox that is a class's own: only to say how much confirmed history it may keep (delivery protocol, rule 5). */
const shares = { alarm: 0.1, total: 0.2, raw: 0.7 } as const
const historyShare = 0.2

/** Least important first (delivery protocol, rule 8). */
const dropOrder: readonly DeliveryClass[] = ['raw', 'total', 'alarm']

export interface ClassUse {
  readonly name: DeliveryClass
  readonly cursor: number
  readonly segments: readonly Segment[]
}

export interface Victim {
  readonly name: DeliveryClass
  /** everything below goes */
  readonly before: number
  /** of that, [from, before) is not confirmed and is lost; null: all is confirmed */
  readonly lostFrom: number | null
}

const used = (segments: readonly Segment[]): number => segments.reduce((sum, segment) => sum + segment.bytes, 0)

/** The segments of a class that may go: never the one being written. */
const closed = (use: ClassUse): readonly Segment[] => use.segments.slice(0, -1)

/** Rule 5: confirmed segments stay while the class uses less than 20 % of its bytes; returns where to cut, or null. */
export function surplusHistory(use: ClassUse, maxBytes: number): Victim | null {
  let bytes = used(use.segments)
  let before: number | null = null
  for (const segment of closed(use)) {
    if (segment.end > use.cursor || bytes < maxBytes * shares[use.name] * historyShare) break
    bytes -= segment.bytes
    before = segment.end
  }
  return before === null ? null : { name: use.name, before, lostFrom: null }
}

/** Rule 8, one step: the next segment to drop because the outbox is full; null: nothing can be dropped. */
export function nextVictim(classes: readonly ClassUse[]): Victim | null {
  const ordered = dropOrder.flatMap(name => classes.filter(use => use.name === name))
  for (const use of ordered) {
    const [oldest] = closed(use)
    if (oldest && oldest.end <= use.cursor) return { name: use.name, before: oldest.end, lostFrom: null }
  }
  for (const use of ordered) {
    const [oldest] = closed(use)
    if (oldest) return { name: use.name, before: oldest.end, lostFrom: Math.max(oldest.first, use.cursor) }
  }
  return null
}
