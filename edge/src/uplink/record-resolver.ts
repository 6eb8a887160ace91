import type { BatchReading } from '@penstock/core/delivery/batch.ts'
import { metricNames } from '@penstock/core/delivery/wire.ts'
import type { TagDescription } from '@penstock/core/description.ts'
import type { BirthPlan, BornDevice, BornTag } from './births.ts'
import type { HeldRecord } from './class-log.ts'
import type { Outbox } from './outbox.ts'
import { parseKind } from './record.ts'
import { lossOnWire } from './session-writer.ts'

/** A record of the outbox in the terms of one session. */
export interface ResolvedRecord {
  /** null: of the node itself */
  readonly device: BornDevice | null
  readonly tags: readonly BornTag[]
  /** as they are sent: stamped, losses with positions of this epoch */
  readonly readings: readonly BatchReading[]
  /** place of each reading in the order of this boot */
  readonly orders: readonly number[]
  /** A newer value of one of its tags went out before, in whatever message (delivery protocol, rule 10). */
  readonly historical: boolean
}

/** Finds the aliases and stamps of stored readings after a birth. */
export class RecordResolver {
  readonly #outbox: Outbox
  readonly #plan: BirthPlan
  readonly #nodeTags = new Map<string, BornTag>()

  constructor(outbox: Outbox, plan: BirthPlan) {
    this.#outbox = outbox
    this.#plan = plan
  }

  /** null: the births did not list its device, or one of its tags. */
  resolve({ batch }: HeldRecord): ResolvedRecord | null {
    const device = batch.device === null ? null : this.#plan.devices.get(batch.device)
    if (device === undefined) return null
    const tags: BornTag[] = []
    for (const kind of batch.kinds) {
      const tag = device === null ? this.#nodeTag(kind) : this.#plan.byKind.get(kind)
      if (!tag) return null
      tags.push(tag)
    }
    const { stamps, identity } = this.#outbox
    const stamped = stamps.stamped(batch)
    const readings =
      device === null ? stamped.map(reading => onWire(reading, text => lossOnWire(text, identity.base))) : stamped
    const orders = readings.map(reading =>
      batch.bootId === stamps.bootId ? reading.monotonicMs : Number.NEGATIVE_INFINITY,
    )
    const historical = tags.some(({ sent }, index) => {
      const order = orders[index] ?? 0
      return sent !== null && sent.order > order && sent.sourceTimestamp !== readings[index]?.sourceTimestamp
    })
    return { device, tags, readings, orders, historical }
  }

  /** Metrics of the node go by name. */
  #nodeTag(kind: string): BornTag | null {
    const known = this.#nodeTags.get(kind)
    if (known) return known
    const stored = parseKind(kind)
    if (!stored) return null
    const { tag, type, unit, resolution, modulus } = stored
    const description: TagDescription = {
      ...{ name: tag, type, class: 'alarm', unit, resolution, modulus },
      ...{ scanMs: 0, deadband: null, heartbeatMs: 0, min: null, max: null },
    }
    const born: BornTag = { tag, description, alias: undefined, kind, retired: false, newest: null, sent: null }
    this.#nodeTags.set(kind, born)
    return born
  }
}

const onWire = (reading: BatchReading, loss: (text: string) => string): BatchReading =>
  reading.tag === metricNames.loss && typeof reading.value === 'string'
    ? { ...reading, value: loss(reading.value) }
    : reading

/** The newest value of a tag that went out, by whatever message. */
export function noteSent(tag: BornTag, reading: BatchReading | undefined, order: number): void {
  if (!reading || (tag.sent && tag.sent.order > order)) return
  tag.sent = { order, sourceTimestamp: reading.sourceTimestamp, value: reading.value }
}
