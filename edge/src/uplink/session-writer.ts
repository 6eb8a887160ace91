import type { BatchReading, DeclaredLoss } from '@penstock/core/delivery/batch.ts'
import {
  type BatchHead,
  batchUuid,
  deliveryVersion,
  encodeBatchHead,
  endMetric,
  firstMetric,
  metricNames,
} from '@penstock/core/delivery/wire.ts'
import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import { type DeliveryClass, deliveryClasses, type Reading } from '@penstock/core/reading.ts'
import { encodePayload } from '@penstock/core/sparkplug/codec.ts'
import type { Metric } from '@penstock/core/sparkplug/payload.ts'
import { qualityProperties } from '@penstock/core/sparkplug/properties.ts'
import type { DeviceVerb, NodeVerb } from '@penstock/core/sparkplug/topics.ts'
import { birthMetric, dataMetric } from '@penstock/core/sparkplug/values.ts'
import { type BornDevice, type BornTag, dbirthMetrics } from './births.ts'

/** QoS 0, not retained (tck-id-topics-nbirth-mqtt, -dbirth-mqtt, -ndata-mqtt, -ddata-mqtt, -ddeath-mqtt). */
export type Publish = (verb: NodeVerb | DeviceVerb, device: string | null, payload: Uint8Array) => void

/** What an NBIRTH says of the edge itself. */
export interface NodeFacts {
  readonly bdSeq: number
  readonly epoch: string
  readonly session: number
  readonly hardwareId: string
  readonly software: string
  /** pinned ledger; "" for none */
  readonly ledger: string
  readonly alarmLimitsHash: string
  readonly clockSynchronised: boolean
  readonly first: Readonly<Record<DeliveryClass, number>>
  readonly end: Readonly<Record<DeliveryClass, number>>
}

const wireTime = (ms: number): number => Math.max(0, Math.round(ms))

/** The will, and what is published before every intended DISCONNECT (tck-id-payloads-ndeath-bdseq, -ndeath-seq: none). */
export const ndeathPayload = (bdSeq: number, now: number): Uint8Array =>
  encodePayload({
    timestamp: wireTime(now),
    metrics: [birthMetric('Int64', BigInt(bdSeq), { name: metricNames.bdSeq, timestamp: wireTime(now) })],
  })

/**
 * Puts what one Sparkplug session says into messages: `seq` counts from NBIRTH on over node and devices
 * (tck-id-payloads-sequence-num-always-included, -incrementing), and each tag remembers what went out of it last.
 */
export class SessionWriter {
  readonly #publish: Publish
  readonly #now: () => number
  #seq = 0

  /** `now`: ms UTC for the payload's timestamp */
  constructor(publish: Publish, now: () => number) {
    this.#publish = publish
    this.#now = now
  }

  /** seq 0; everything that the node will ever send (tck-id-topics-nbirth-metric-reqs). None of it has an alias. */
  nbirth(facts: NodeFacts): void {
    const timestamp = wireTime(this.#now())
    const text = (name: string, value: string) => birthMetric('String', value, { name, timestamp })
    const int64 = (name: string, value: number) => birthMetric('Int64', BigInt(value), { name, timestamp })
    const metrics: Metric[] = [
      int64(metricNames.bdSeq, facts.bdSeq),
      birthMetric('Boolean', false, { name: metricNames.rebirth, timestamp }),
      text(metricNames.confirm, ''),
      text(metricNames.alarmLimits, ''),
      birthMetric('Int32', deliveryVersion, { name: metricNames.version, timestamp }),
      text(metricNames.epoch, facts.epoch),
      int64(metricNames.session, facts.session),
      ...deliveryClasses.flatMap(name => [
        int64(firstMetric(name), facts.first[name]),
        int64(endMetric(name), facts.end[name]),
      ]),
      text(metricNames.loss, ''),
      text(metricNames.hardwareId, facts.hardwareId),
      text(metricNames.software, facts.software),
      text(metricNames.ledger, facts.ledger),
      text(metricNames.alarmLimitsHash, facts.alarmLimitsHash),
      birthMetric('Boolean', facts.clockSynchronised, { name: metricNames.clockSynchronised, timestamp }),
    ]
    this.#seq = 0
    this.#send('NBIRTH', null, metrics)
  }

  /** `current`: what a tag is born with; undefined for none (after a DDEATH, for what is still on its way). */
  dbirth(
    device: BornDevice,
    current: (tag: BornTag) => Reading | undefined,
    diagnosis: DeviceDiagnosis | null,
    order: number,
  ): void {
    this.#send('DBIRTH', device.id, dbirthMetrics(device, current, diagnosis, wireTime(this.#now())))
    device.alive = true
    for (const tag of device.tags) {
      const reading = current(tag)
      if (reading || !tag.sent) {
        tag.sent = { order, sourceTimestamp: reading?.sourceTimestamp ?? Number.NaN, value: reading?.value ?? null }
      }
    }
  }

  ddeath(device: BornDevice): void {
    this.#send('DDEATH', device.id, [])
    device.alive = false
  }

  /** One batch. Returns its size on the wire. */
  batch(
    device: BornDevice | null,
    head: BatchHead,
    tags: readonly BornTag[],
    readings: readonly BatchReading[],
    historical: boolean,
  ): number {
    const metrics = tags.map((tag, index) => this.#data(tag, readings[index], historical))
    return this.#send(device ? 'DDATA' : 'NDATA', device?.id ?? null, metrics, encodeBatchHead(head))
  }

  /** Newest values ahead of their batches: no body, never counted. Returns the size on the wire. */
  live(device: BornDevice, tags: readonly BornTag[], readings: readonly BatchReading[]): number {
    const metrics = tags.map((tag, index) => this.#data(tag, readings[index], false))
    return this.#send('DDATA', device.id, metrics)
  }

  diagnosis(device: BornDevice, diagnosis: DeviceDiagnosis): void {
    const timestamp = wireTime(this.#now())
    const metric = dataMetric('String', JSON.stringify(diagnosis), { name: metricNames.diagnostics, timestamp })
    this.#send('DDATA', device.id, [metric])
  }

  /** While nobody confirms. The session tells a gateway that missed the NBIRTH, and confirms an earlier session, that it did. */
  ends(session: number, end: Readonly<Record<DeliveryClass, number>>): void {
    const timestamp = wireTime(this.#now())
    const metrics = deliveryClasses.map(name =>
      dataMetric('Int64', BigInt(end[name]), { name: endMetric(name), timestamp }),
    )
    metrics.push(dataMetric('Int64', BigInt(session), { name: metricNames.session, timestamp }))
    this.#send('NDATA', null, metrics)
  }

  alarmLimitsHash(hash: string): void {
    const timestamp = wireTime(this.#now())
    this.#send('NDATA', null, [dataMetric('String', hash, { name: metricNames.alarmLimitsHash, timestamp })])
  }

  #data(tag: BornTag, reading: BatchReading | undefined, historical: boolean): Metric {
    if (!reading) throw new TypeError(`a metric of ${tag.tag} without reading`)
    const { quality, reason } = reading
    return dataMetric(tag.description.type, quality === 'bad' ? null : reading.value, {
      ...(tag.alias === undefined ? { name: tag.description.name } : { alias: tag.alias }),
      timestamp: wireTime(reading.sourceTimestamp),
      isHistorical: historical,
      properties: qualityProperties({ quality, reason }),
    })
  }

  #send(verb: NodeVerb | DeviceVerb, device: string | null, metrics: Metric[], body?: Uint8Array): number {
    const seq = this.#seq
    this.#seq = (seq + 1) % 256
    const payload = encodePayload({
      timestamp: wireTime(this.#now()),
      metrics: inOrderOfTime(metrics),
      seq,
      ...(body ? { uuid: batchUuid, body } : {}),
    })
    this.#publish(verb, device, payload)
    return payload.length
  }
}

/**
 * A device has slow and fast tags; the oldest value goes first (tck-id-operational-behavior-data-publish-nbirth-order,
 * -dbirth-order). History, and several values of one tag, keep the order in which they were read, whatever the clock did meanwhile.
 */
function inOrderOfTime(metrics: readonly Metric[]): readonly Metric[] {
  const isEarlier = ({ timestamp = 0 }: Metric, at: number) => timestamp < (metrics[at - 1]?.timestamp ?? 0)
  if (!metrics.some(isEarlier) || metrics.some(({ isHistorical }) => isHistorical)) return metrics
  const distinct = new Set(metrics.map(({ alias, name }) => alias ?? name)).size
  if (distinct < metrics.length) return metrics
  return metrics.toSorted((a, b) => (a.timestamp ?? 0) - (b.timestamp ?? 0))
}

/** A declared loss as it is sent: positions instead of record numbers. What lay before this epoch has none. */
export function lossOnWire(text: string, base: Readonly<Record<DeliveryClass, number>>): string {
  const loss = JSON.parse(text) as DeclaredLoss
  const position = (record: number) => Math.max(0, record - base[loss.class])
  return JSON.stringify({ ...loss, from: position(loss.from), to: position(loss.to) })
}
