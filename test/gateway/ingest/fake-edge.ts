import {
  batchUuid,
  type Confirm,
  encodeBatchHead,
  endMetric,
  metricNames,
  parseConfirm,
} from '@penstock/core/delivery/wire.ts'
import { type DeliveryClass, deliveryClasses } from '@penstock/core/reading.ts'
import type { ConnectLink, Link } from '@penstock/core/runtime/link.ts'
import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import type { Metric } from '@penstock/core/sparkplug/payload.ts'
import { birthProperties } from '@penstock/core/sparkplug/properties.ts'
import { deviceTopic, nodeTopic } from '@penstock/core/sparkplug/topics.ts'
import { birthMetric, dataMetric } from '@penstock/core/sparkplug/values.ts'

export interface FakeEdgeOptions {
  readonly connect: ConnectLink
  readonly now: () => number
  readonly group?: string
  readonly id?: string
  readonly hardwareId?: string | null
  readonly site?: string
  /** false: a foreign node without the delivery protocol */
  readonly delivery?: boolean
  readonly version?: number
  readonly clientId?: string
}

export interface FakeBatch {
  readonly class?: DeliveryClass
  readonly from?: number
  readonly session?: number
  readonly crc?: number
  readonly device?: string
  readonly value?: number
  readonly historical?: boolean
}

/** An edge made by hand: says exactly what a test wants it to say, and keeps the commands that it gets. */
export class FakeEdge {
  readonly options: FakeEdgeOptions
  readonly group: string
  readonly id: string
  readonly site: string
  epoch = '4711'
  session = 1000
  bdSeq = 0
  seq = 0
  hash = ''
  end: Record<DeliveryClass, number> = { alarm: 0, total: 0, raw: 0 }
  readonly commands: { name: string; text: string; metric: Metric; at: number }[] = []
  link: Link | null = null

  constructor(options: FakeEdgeOptions) {
    this.options = options
    this.group = options.group ?? 'g1'
    this.id = options.id ?? 'e1'
    this.site = options.site ?? 'plant'
  }

  get edge(): string {
    return `${this.group}/${this.id}`
  }

  get confirms(): Confirm[] {
    return this.commands.flatMap(({ name, text }) => {
      const { value } = name === metricNames.confirm ? parseConfirm(text) : { value: null }
      return value ?? []
    })
  }

  get rebirths(): number {
    return this.commands.filter(({ name }) => name === metricNames.rebirth).length
  }

  async open(): Promise<this> {
    const topic = nodeTopic(this.group, 'NDEATH', this.id)
    this.link = await this.options.connect({
      clientId: this.options.clientId ?? `edge-${this.group}-${this.id}`,
      will: { topic, payload: this.#death(), qos: 1, retain: false },
      onMessage: (_, payload) => {
        for (const metric of decodePayload(payload).metrics) {
          const text = typeof metric.value === 'string' ? metric.value : ''
          this.commands.push({ name: metric.name ?? '', text, metric, at: this.options.now() })
        }
      },
      signal: new AbortController().signal,
    })
    await this.link.subscribe([nodeTopic(this.group, 'NCMD', this.id)], 1)
    return this
  }

  /** NBIRTH of a new session. */
  nodeBirth(fields: { session?: number; metrics?: Metric[] } = {}): void {
    const { hardwareId = 'hw-1', delivery = true, version = 1 } = this.options
    this.session = fields.session ?? this.session + 1
    this.seq = 0
    const at = { timestamp: this.options.now() }
    const metrics = [
      birthMetric('Int64', BigInt(this.bdSeq), { name: metricNames.bdSeq, ...at }),
      birthMetric('Boolean', false, { name: metricNames.rebirth, ...at }),
    ]
    if (hardwareId !== null) metrics.push(birthMetric('String', hardwareId, { name: metricNames.hardwareId, ...at }))
    if (delivery) {
      metrics.push(
        birthMetric('Int32', version, { name: metricNames.version, ...at }),
        birthMetric('String', this.epoch, { name: metricNames.epoch, ...at }),
        birthMetric('Int64', BigInt(this.session), { name: metricNames.session, ...at }),
        birthMetric('String', '', { name: metricNames.confirm, ...at }),
        birthMetric('String', this.hash, { name: metricNames.alarmLimitsHash, ...at }),
      )
      for (const name of deliveryClasses)
        metrics.push(birthMetric('Int64', BigInt(this.end[name]), { name: endMetric(name), ...at }))
    }
    this.send(nodeTopic(this.group, 'NBIRTH', this.id), [...metrics, ...(fields.metrics ?? [])])
  }

  /** DBIRTH: tags `flow` (Double, raw), `total` (Int64) and `leak` (Boolean), aliases from `alias` on. */
  deviceBirth(device = 'fm-1', alias = 1, value: number | null = 1): void {
    const { delivery = true } = this.options
    const at = { timestamp: this.options.now() }
    const properties = (name: string, type: 'Double' | 'Int64' | 'Boolean', deliveryClass: DeliveryClass) =>
      delivery
        ? birthProperties(
            {
              site: this.site,
              tag: {
                name,
                type,
                class: deliveryClass,
                unit: type === 'Double' ? 'm3/h' : null,
                scanMs: 1_000,
                deadband: null,
                heartbeatMs: 60_000,
                resolution: type === 'Int64' ? '0.001' : null,
                modulus: null,
                min: null,
                max: null,
              },
              retired: false,
            },
            value === null ? { quality: 'bad', reason: 'not-read' } : { quality: 'good', reason: null },
          )
        : undefined
    this.send(this.topic('DBIRTH', device), [
      birthMetric('Double', value, { name: 'flow', alias, properties: properties('flow', 'Double', 'raw'), ...at }),
      birthMetric('Int64', value === null ? null : BigInt(value), {
        name: 'total',
        alias: alias + 1,
        properties: properties('total', 'Int64', 'total'),
        ...at,
      }),
      birthMetric('Boolean', value === null ? null : false, {
        name: 'leak',
        alias: alias + 2,
        properties: properties('leak', 'Boolean', 'alarm'),
        ...at,
      }),
    ])
  }

  /** NBIRTH and DBIRTH. */
  born(): void {
    this.nodeBirth()
    this.deviceBirth()
  }

  /** One batch; the reading carries `pos` as its value. */
  batch(pos: number, fields: FakeBatch = {}): void {
    const deliveryClass = fields.class ?? 'raw'
    const device = fields.device ?? 'fm-1'
    const timestamp = this.options.now()
    const value = fields.value ?? pos
    const at = { timestamp, ...(fields.historical ? { isHistorical: true } : {}) }
    const metric = {
      raw: dataMetric('Double', value, { alias: 1, ...at }),
      total: dataMetric('Int64', BigInt(value), { alias: 2, ...at }),
      alarm: dataMetric('Boolean', value % 2 === 1, { alias: 3, ...at }),
    }[deliveryClass]
    this.end[deliveryClass] = Math.max(this.end[deliveryClass], pos + 1)
    const body = encodeBatchHead({
      session: fields.session ?? this.session,
      class: deliveryClass,
      from: fields.from ?? pos,
      pos,
      crc: fields.crc ?? pos + 7,
    })
    this.send(this.topic('DDATA', device), [metric], body)
  }

  /** A live copy: DDATA without body. */
  live(
    value: number,
    fields: { alias?: number; device?: string; timestamp?: number; historical?: boolean } = {},
  ): void {
    const at = {
      timestamp: fields.timestamp ?? this.options.now(),
      ...(fields.historical ? { isHistorical: true } : {}),
    }
    this.send(this.topic('DDATA', fields.device ?? 'fm-1'), [
      dataMetric('Double', value, { alias: fields.alias ?? 1, ...at }),
    ])
  }

  nodeData(metrics: Metric[], body?: Uint8Array): void {
    this.send(nodeTopic(this.group, 'NDATA', this.id), metrics, body)
  }

  deviceDeath(device = 'fm-1'): void {
    this.send(this.topic('DDEATH', device), [])
  }

  nodeDeath(bdSeq = this.bdSeq): void {
    this.link?.publish(nodeTopic(this.group, 'NDEATH', this.id), this.#death(bdSeq), { qos: 0, retain: false })
  }

  topic(verb: 'DBIRTH' | 'DDATA' | 'DDEATH', device: string): string {
    return deviceTopic(this.group, verb, this.id, `${this.site}:${device}`)
  }

  /** Sends with the next sequence number; `skip` loses so many before it. */
  send(topic: string, metrics: Metric[], body?: Uint8Array): void {
    const payload = encodePayload({
      timestamp: this.options.now(),
      metrics,
      seq: this.seq,
      ...(body ? { uuid: batchUuid, body } : {}),
    })
    this.seq = (this.seq + 1) % 256
    this.link?.publish(topic, payload, { qos: 0, retain: false })
  }

  #death(bdSeq = this.bdSeq): Uint8Array {
    const metrics = [birthMetric('Int64', BigInt(bdSeq), { name: metricNames.bdSeq })]
    return encodePayload({ timestamp: this.options.now(), metrics })
  }
}
