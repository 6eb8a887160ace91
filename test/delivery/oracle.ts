import { type DeliveryClass, deliveryClasses } from '@penstock/core/reading.ts'
import type { BatchEntry, InboxRecord, LossEntry } from '@penstock/gateway/ingest/record.ts'
import type { Reported } from './plant.ts'

/** What the edge's disk was at some time, in numbers of reported batches. */
export interface Lineage {
  /** durable batches on it, by class */
  readonly held: Readonly<Record<DeliveryClass, ReadonlySet<number>>>
  /** beside those, what was written and may have reached it */
  readonly written: Readonly<Record<DeliveryClass, ReadonlySet<number>>>
}

export interface Truth {
  readonly reported: Readonly<Record<DeliveryClass, readonly Reported[]>>
  /** epoch → number of the record that is its position 0 */
  readonly epochs: ReadonlyMap<string, Readonly<Record<DeliveryClass, number>>>
  /** images of the edge's disk that were put back: what is on them may come twice */
  readonly images: readonly Lineage[]
  /** durable batches that were on no image when an older one was put back: they may be gone */
  readonly destroyed: Readonly<Record<DeliveryClass, ReadonlySet<number>>>
}

export interface Findings {
  /** durable, not in the inbox, in no declared loss */
  readonly lost: string[]
  /** known to the gateway as a hole, but the record that gives the reason is not there */
  readonly unexplained: string[]
  /** in the inbox more than once */
  readonly twice: string[]
  /** of these: the disk image that was put back held it, so that the same readings came again */
  readonly repeated: number
  readonly disorder: string[]
  /** in the inbox with other readings than were taken */
  readonly changed: string[]
  /** lost and declared */
  readonly declared: number
  readonly delivered: number
}

/** Holds the inbox against what was reported (delivery protocol, PROMISE). */
export function judge(truth: Truth, records: readonly InboxRecord[]): Findings {
  const lost: string[] = []
  const unexplained: string[] = []
  const twice: string[] = []
  const disorder: string[] = []
  const changed: string[] = []
  let repeated = 0
  let declared = 0
  let delivered = 0
  for (const name of deliveryClasses) {
    const batches = records.flatMap(({ entry }) => (entry.kind === 'batch' && entry.class === name ? [entry] : []))
    const losses = records.flatMap(({ entry }) => (entry.kind === 'loss' && entry.class === name ? [entry] : []))
    const count = new Map<number, number>()
    const last = new Map<string, number>()
    for (const batch of batches) {
      const serial = serialOf(batch)
      // what the edge says of itself has no number
      if (serial === null) continue
      const reported = truth.reported[name][serial]
      const [reading] = batch.readings
      if (!reported || reading?.tag !== reported.tag || reading.sourceTimestamp !== reported.sourceTimestamp) {
        changed.push(`${name} ${serial}`)
      }
      count.set(serial, (count.get(serial) ?? 0) + 1)
      const order = truth.images.length > 0 ? batch.epoch : ''
      const before = last.get(order)
      if (before !== undefined && serial <= before && count.get(serial) === 1)
        disorder.push(`${name} ${serial} after ${before}`)
      last.set(order, Math.max(serial, before ?? -1))
    }
    for (const [serial, times] of count) {
      if (times === 1) continue
      if (truth.images.some(image => image.written[name].has(serial))) repeated++
      else twice.push(`${name} ${serial}: ${times} times`)
    }
    for (const reported of truth.reported[name]) {
      const { serial, durable } = reported
      if (!durable || truth.destroyed[name].has(serial)) continue
      if (count.has(serial)) delivered++
      else if (losses.some(loss => covers(truth, loss, reported))) declared++
      else {
        const hole = losses.some(loss => covers(truth, { ...loss, reason: loss.reason ?? 'hole' }, reported))
        const found = hole ? unexplained : lost
        found.push(`${name} ${serial} (record ${reported.record})`)
      }
    }
  }
  return { lost, unexplained, twice, repeated, disorder, changed, declared, delivered }
}

function serialOf({ readings }: BatchEntry): number | null {
  const value = readings[0]?.value
  return typeof value === 'bigint' ? Number(value) : null
}

function covers(truth: Truth, { epoch, class: name, from, to, reason }: LossEntry, { record }: Reported): boolean {
  const base = truth.epochs.get(epoch)?.[name]
  return reason !== null && base !== undefined && record >= base + from && record < base + to
}
