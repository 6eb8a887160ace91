import type { Batch, BatchReading, DeclaredLoss } from '@penstock/core/delivery/batch.ts'
import {
  type BatchHead,
  type Confirm,
  decodeBatchHead,
  formatConfirm,
  metricNames,
} from '@penstock/core/delivery/wire.ts'
import type { DeviceDescription, TagDescription } from '@penstock/core/description.ts'
import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import { type DeliveryClass, deliveryClasses, type Reading, type Value } from '@penstock/core/reading.ts'
import type { Link } from '@penstock/core/runtime/link.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import type { Metric, Payload } from '@penstock/core/sparkplug/payload.ts'
import { readDescription, readQuality } from '@penstock/core/sparkplug/properties.ts'
import { formatState } from '@penstock/core/sparkplug/state.ts'
import { groupFilter, nodeTopic, parseTopic, stateTopic } from '@penstock/core/sparkplug/topics.ts'
import { birthMetric, typedValue } from '@penstock/core/sparkplug/values.ts'
import type { UplinkSource } from '@penstock/edge/uplink/source.ts'
import { Uplink, type UplinkOptions } from '@penstock/edge/uplink/uplink.ts'
import { Process } from '../../delivery/process.ts'
import { FaultyFiles } from '../../support/faulty-files.ts'
import { ManualTime } from '../../support/manual-time.ts'
import { type Faults, Network, noFaults } from '../../support/network.ts'
import { SeededRandom } from '../../support/random.ts'

export const group = '320706'
export const edge = 'e01'
export const host = 'penstock'
export const startMs = Date.UTC(2026, 10, 21, 12)

/** A message as it came to the broker. */
export interface Seen {
  readonly verb: string
  readonly device: string | null
  readonly qos: 0 | 1
  readonly retain: boolean
  readonly at: number
  readonly payload: Payload
  readonly head: BatchHead | null
}

export const tag = (name: string, more: Partial<TagDescription> = {}): TagDescription => ({
  ...{ name, type: 'Double', class: 'raw', unit: 'm3/h', scanMs: 1000, deadband: null, heartbeatMs: 60_000 },
  ...{ resolution: null, modulus: null, min: null, max: null },
  ...more,
})

export const device = (name: string, tags: readonly TagDescription[]): DeviceDescription => ({
  ...{ site: 'plant', device: name, area: null, profile: 'test' },
  tags,
})

export const meter = device('fm-1', [
  tag('flow'),
  tag('total', { type: 'Int64', class: 'total', unit: 'm3', resolution: '0.001', modulus: '4294967296000' }),
  tag('leak', { type: 'Boolean', class: 'alarm', unit: null }),
])

/** An acquisition that reads what the test tells it. */
export class FakeSource implements UplinkSource {
  devices: readonly DeviceDescription[]
  readonly newest = new Map<string, Reading>()
  readonly offline = new Set<string>()
  limits: ReadonlyMap<string, readonly number[]> | null = null

  constructor(devices: readonly DeviceDescription[]) {
    this.devices = devices
  }

  current(id: string): readonly Reading[] {
    return [...this.newest.values()].filter(({ tag }) => `${tag.split('/')[0]}:${tag.split('/')[1]}` === id)
  }

  isOnline(id: string): boolean {
    return !this.offline.has(id)
  }

  diagnosis(): DeviceDiagnosis {
    return {
      ...{ address: 'modbus tcp 127.0.0.1:1502 unit 1', state: 'ok', since: startMs, lastRequest: null },
      ...{ lastAnswer: null, lastError: null, nextTryAt: null, counters: {} },
    }
  }

  setAlarmLimits(limits: ReadonlyMap<string, readonly number[]> | null): void {
    this.limits = limits
  }
}

export interface WorldOptions {
  readonly seed?: number
  readonly faults?: Faults
  /** how far the edge's calendar is off */
  readonly clockOffsetMs?: number
  readonly devices?: readonly DeviceDescription[]
  readonly uplink?: Partial<UplinkOptions>
}

/** One edge on faulty files and a faulty network, and a host that does what the test says. Everything on manual time. */
export class World {
  readonly time = new ManualTime(startMs)
  readonly random: SeededRandom
  readonly files: FaultyFiles
  readonly network: Network
  readonly seen: Seen[] = []
  readonly wills: Payload[] = []
  readonly source: FakeSource
  readonly options: WorldOptions
  uplink: Uplink | undefined
  hostLink: Link | undefined
  /** what the host has committed: next position by class */
  readonly next = { alarm: 0, total: 0, raw: 0 }
  readonly tail: Record<DeliveryClass, number | null> = { alarm: null, total: null, raw: null }
  ledger = '6f1c1b1e-0000-4000-8000-000000000001'
  /** the host commits and confirms batches by itself */
  confirming = true
  /** the host gives its hello after each NBIRTH by itself */
  hello = true
  epoch = ''
  session = 0
  readonly committed: { readonly class: DeliveryClass; readonly pos: number; readonly from: number }[] = []
  readonly losses: DeclaredLoss[] = []
  #stateTime = startMs
  #process: Process | undefined

  constructor(options: WorldOptions = {}) {
    this.options = options
    this.random = new SeededRandom(options.seed ?? 1)
    this.files = new FaultyFiles(this.random.next)
    this.network = new Network({ time: this.time, random: this.random, faults: options.faults ?? noFaults })
    this.source = new FakeSource(options.devices ?? [meter])
    this.network.onMessage = (_, message) => this.#see(message.topic, message.payload, message.qos, message.retain)
  }

  async start(): Promise<Uplink> {
    const process = new Process({
      ...{ time: this.time, disk: this.files, random: this.random, clockOffsetMs: this.options.clockOffsetMs ?? 0 },
      ...{ syncMs: 0, dieAtOperation: null, onDeath: () => {} },
    })
    this.#process = process
    const boot = { id: 'boot-1', monotonicMs: () => this.time.now() - startMs }
    const uplink = await Uplink.open({
      ...{ group, edge, host, username: 'e01', servers: 1, connect: this.network.connect, software: 'test 1' },
      ...{ files: process.files, folder: '/data', clock: process.clock, ticker: process.ticker, log: silentLogger },
      ...{ random: this.random.next, hardwareId: 'box-1', boot, trust: 'trusted', ledger: null },
      limits: { maxBytes: 1024 * 1024, segmentBytes: 64 * 1024, syncMs: 250, maxAgeMs: 0 },
      ...this.options.uplink,
    })
    this.uplink = uplink
    uplink.start(this.source)
    return uplink
  }

  /** A clean stop of the edge. */
  async stop(): Promise<void> {
    if (this.uplink) await this.settle(this.uplink.close())
    this.#process?.die()
  }

  /** Cuts the power of the edge: nothing is closed. */
  crash(): void {
    this.#process?.die()
    this.network.kill(`${group}.${edge}`)
    this.files.crash()
    this.uplink = undefined
  }

  async hostOnline(): Promise<void> {
    this.#stateTime = Math.max(this.#stateTime + 1, this.time.now())
    if (!this.hostLink) {
      const connecting = this.network.connect({
        clientId: 'gateway',
        will: {
          topic: stateTopic(host),
          payload: formatState({ online: false, timestamp: this.#stateTime }),
          qos: 1,
          retain: true,
        },
        onMessage: (topic, payload) => this.#hear(topic, payload),
        signal: new AbortController().signal,
      })
      this.hostLink = await this.settle(connecting)
      await this.settle(this.hostLink.subscribe([groupFilter(group)], 0))
    }
    this.state(true)
    await this.time.advance(1)
  }

  /** Lets time pass until it is done. */
  async settle<T>(work: Promise<T>): Promise<T> {
    let done = false
    const finish = () => {
      done = true
    }
    work.then(finish, finish)
    while (!done) await this.time.advance(1)
    return work
  }

  state(online: boolean, timestamp = Math.max(this.#stateTime + 1, this.time.now())): void {
    if (online) this.#stateTime = Math.max(this.#stateTime, timestamp)
    this.hostLink?.publish(stateTopic(host), formatState({ online, timestamp }), { qos: 1, retain: true })
  }

  /** One reading of the meter. */
  report(name: string, value: Value | null, more: Partial<BatchReading> & { device?: string } = {}): Promise<void> {
    const { device: id = 'plant:fm-1', ...fields } = more
    const [site = '', part = ''] = id.split(':')
    const description = this.source.devices
      .find(device => device.site === site && device.device === part)
      ?.tags.find(tag => tag.name === name)
    const reading: BatchReading = {
      tag: `${site}/${part}/${name}`,
      type: description?.type ?? 'Double',
      value,
      quality: value === null ? 'bad' : 'good',
      reason: value === null ? 'timeout' : null,
      sourceTimestamp: this.time.now(),
      monotonicMs: this.time.now() - startMs,
      ...fields,
    }
    this.source.newest.set(reading.tag, reading)
    const batch: Batch = { class: description?.class ?? 'raw', device: id, bootId: 'boot-1', readings: [reading] }
    return new Promise(resolve => this.uplink?.report(batch, resolve))
  }

  /** `timestamp` null: the payload has none */
  command(metrics: Metric[], timestamp: number | null = this.time.now()): void {
    const payload = encodePayload({ timestamp: timestamp ?? undefined, metrics })
    this.hostLink?.publish(nodeTopic(group, 'NCMD', edge), payload, { qos: 0, retain: false })
  }

  rebirth(): void {
    this.command([birthMetric('Boolean', true, { name: metricNames.rebirth, timestamp: this.time.now() })])
  }

  confirm(more: Partial<Confirm> = {}, timestamp?: number | null): void {
    const confirm: Confirm = {
      ...{ host, ledger: this.ledger, epoch: this.epoch, session: this.session },
      ...{ next: { ...this.next }, tail: { ...this.tail }, resend: [] },
      ...more,
    }
    const value = formatConfirm(confirm)
    this.command([birthMetric('String', value, { name: metricNames.confirm, timestamp: this.time.now() })], timestamp)
  }

  of(verb: string): Seen[] {
    return this.seen.filter(seen => seen.verb === verb)
  }

  batches(name?: DeliveryClass): Seen[] {
    return this.seen.filter(({ head }) => head && (name === undefined || head.class === name))
  }

  liveCopies(): Seen[] {
    return this.of('DDATA').filter(
      ({ head, payload }) => head === null && payload.metrics.some(metric => metric.name === undefined),
    )
  }

  forget(): void {
    this.seen.length = 0
  }

  metric(seen: Seen | undefined, name: string): Metric | undefined {
    return seen?.payload.metrics.find(metric => metric.name === name)
  }

  #see(topic: string, bytes: Uint8Array, qos: 0 | 1, retain: boolean): void {
    const parsed = parseTopic(topic)
    if (!parsed || parsed.kind === 'state' || parsed.verb === 'NCMD') return
    if (parsed.verb === 'DCMD') return
    const payload = decodePayload(bytes)
    const head = payload.body ? decodeBatchHead(payload.body).value : null
    const id = parsed.kind === 'device' ? parsed.device : null
    this.seen.push({ verb: parsed.verb, device: id, qos, retain, at: this.time.now(), payload, head })
  }

  /** A small gateway: in order, holes by `from`, confirms at once. */
  #hear(topic: string, bytes: Uint8Array): void {
    const parsed = parseTopic(topic)
    if ((parsed?.kind !== 'node' && parsed?.kind !== 'device') || parsed.verb.endsWith('CMD')) return
    const payload = decodePayload(bytes)
    if (parsed.verb === 'NBIRTH') {
      const named = (name: string) => payload.metrics.find(metric => metric.name === name)
      const epoch = String(named(metricNames.epoch)?.value)
      if (epoch !== this.epoch) {
        this.epoch = epoch
        for (const name of deliveryClasses) {
          this.next[name] = 0
          this.tail[name] = null
        }
      }
      this.session = Number(named(metricNames.session)?.value)
    }
    if (this.hello && payload.metrics.some(metric => metric.name?.endsWith('/End'))) this.confirm()
    const head = payload.body ? decodeBatchHead(payload.body).value : null
    if (!head || !this.confirming || head.session !== this.session) return
    if (head.from <= this.next[head.class] && head.pos >= this.next[head.class]) {
      this.committed.push({ class: head.class, pos: head.pos, from: this.next[head.class] })
      this.next[head.class] = head.pos + 1
      this.tail[head.class] = head.crc
      for (const metric of payload.metrics) {
        if (metric.name === metricNames.loss) this.losses.push(JSON.parse(String(typedValue(metric, 'String'))))
      }
    }
    this.confirm(head.from > this.next[head.class] ? { resend: [head.class] } : {})
  }
}

export { deliveryClasses, metricNames, readDescription, readQuality, typedValue }
