import { batchUuid, encodeBatchHead, endMetric, metricNames, parseConfirm } from '@penstock/core/delivery/wire.ts'
import { deliveryClasses } from '@penstock/core/reading.ts'
import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import { birthProperties } from '@penstock/core/sparkplug/properties.ts'
import { birthMetric, dataMetric } from '@penstock/core/sparkplug/values.ts'
import { publishPacket, type RawClient, rawClient } from './mqtt-packets.ts'

export const loadGroup = 'load'
/** Batches that an edge leaves unconfirmed (delivery protocol, rule 6). */
const window = 32

export interface Shape {
  readonly edges: number
  readonly devices: number
  readonly tagsPerDevice: number
}

export const edgeName = (index: number): string => `l${index}`
const siteName = (index: number): string => `site-l${index}`
const deviceName = (index: number): string => `d${index}`

/** Three tags of four are floats, as instruments have them; the rest doubles. */
const typeOf = (tag: number): 'Double' | 'Float' => (tag % 4 === 3 ? 'Double' : 'Float')

/**
 * An edge that has nothing behind it: births, then batches that were encoded before, as many as the window lets go, whose
 * confirmations it awaits.
 */
export class RawEdge {
  readonly #index: number
  readonly #shape: Shape
  readonly #client: RawClient
  readonly #session: number
  /** `pos` → packet; what is sent is let go */
  readonly #packets: (Buffer | undefined)[] = []
  readonly #sentAt: number[] = []
  readonly #onConfirmed: (sentAt: number, now: number) => void
  #seq = 0
  #allowed = 0
  #sent = 0
  #acked = 0
  #hello: (() => void) | undefined

  private constructor(
    index: number,
    shape: Shape,
    client: RawClient,
    session: number,
    onConfirmed: (sentAt: number, now: number) => void,
  ) {
    this.#index = index
    this.#shape = shape
    this.#client = client
    this.#session = session
    this.#onConfirmed = onConfirmed
  }

  static async connect(
    port: number,
    index: number,
    shape: Shape,
    onConfirmed: (sentAt: number, now: number) => void,
  ): Promise<RawEdge> {
    const name = edgeName(index)
    const taken: { edge?: RawEdge } = {}
    const client = await rawClient(port, name, `spBv1.0/${loadGroup}/NCMD/${name}`, (_, payload) =>
      taken.edge?.command(payload),
    )
    const session = 1 + Math.floor(Math.random() * 2 ** 50)
    taken.edge = new RawEdge(index, shape, client, session, onConfirmed)
    return taken.edge
  }

  get done(): boolean {
    return this.#acked >= this.#packets.length
  }

  get acked(): number {
    return this.#acked
  }

  /** NBIRTH and DBIRTHs; resolves with the first confirmation. `firstValue` gives the first value of each tag. */
  born(firstValue: (device: number, tag: number) => number): Promise<void> {
    const at = { timestamp: Date.now() }
    const name = edgeName(this.#index)
    this.#seq = 0
    const node = [
      birthMetric('Int64', 0n, { name: metricNames.bdSeq, ...at }),
      birthMetric('Int32', 1, { name: metricNames.version, ...at }),
      birthMetric('String', `${this.#session}`, { name: metricNames.epoch, ...at }),
      birthMetric('Int64', BigInt(this.#session), { name: metricNames.session, ...at }),
      birthMetric('String', `hardware-${name}`, { name: metricNames.hardwareId, ...at }),
      ...deliveryClasses.map(kind => birthMetric('Int64', 0n, { name: endMetric(kind), ...at })),
    ]
    const packets = [
      publishPacket(`spBv1.0/${loadGroup}/NBIRTH/${name}`, encodePayload({ ...at, metrics: node, seq: 0 })),
    ]
    for (let device = 0; device < this.#shape.devices; device++) {
      const metrics = Array.from({ length: this.#shape.tagsPerDevice }, (_, tag) =>
        this.#birthOf(device, tag, firstValue, at),
      )
      const payload = encodePayload({ ...at, metrics, seq: ++this.#seq % 256 })
      packets.push(publishPacket(`spBv1.0/${loadGroup}/DBIRTH/${name}/${this.#deviceId(device)}`, payload))
    }
    return new Promise(resolve => {
      this.#hello = resolve
      this.#client.send(Buffer.concat(packets))
    })
  }

  /** Encodes batches of class raw; device by device in turn, for messages of one reading tag by tag. */
  prepare(batches: number, perMessage: number, sourceMsOf: (batch: number) => number): void {
    const { devices, tagsPerDevice } = this.#shape
    const perDevice = Math.max(1, Math.floor(tagsPerDevice / perMessage))
    const first = this.#packets.length
    for (let pos = first; pos < first + batches; pos++) {
      const timestamp = sourceMsOf(pos - first)
      const device = Math.floor(pos / perDevice) % devices
      const firstTag = (pos % perDevice) * perMessage
      const metrics = Array.from({ length: Math.min(perMessage, tagsPerDevice) }, (_, index) => {
        const tag = firstTag + index
        const value = 100 + tag + 10 * Math.sin((pos + tag * 7) / 20) + (pos % 10) * 0.01
        return dataMetric(typeOf(tag), value, { alias: device * tagsPerDevice + tag + 1, timestamp })
      })
      const body = encodeBatchHead({ session: this.#session, class: 'raw', from: pos, pos, crc: pos })
      const seq = (this.#shape.devices + 1 + pos) % 256
      const payload = encodePayload({ timestamp: Date.now(), metrics, seq, uuid: batchUuid, body })
      const topic = `spBv1.0/${loadGroup}/DDATA/${edgeName(this.#index)}/${this.#deviceId(device)}`
      this.#packets.push(publishPacket(topic, payload))
    }
  }

  /** So many more of the prepared batches may go out. */
  allow(batches: number): void {
    this.#allowed = Math.min(this.#packets.length, this.#allowed + batches)
    this.#pump()
  }

  close(): void {
    this.#client.close()
  }

  command(bytes: Buffer): void {
    const [metric] = decodePayload(bytes).metrics
    if (metric?.name === metricNames.rebirth) throw new Error(`${edgeName(this.#index)}: the gateway asks for births`)
    if (metric?.name !== metricNames.confirm || typeof metric.value !== 'string') return
    const { value } = parseConfirm(metric.value)
    if (!value || value.session !== this.#session) return
    if (value.resend.length > 0) throw new Error(`${edgeName(this.#index)}: batches are missing`)
    const hello = this.#hello
    this.#hello = undefined
    hello?.()
    const now = performance.now()
    for (; this.#acked < value.next.raw; this.#acked++) {
      this.#onConfirmed(this.#sentAt[this.#acked] ?? now, now)
    }
    this.#pump()
  }

  #pump(): void {
    const until = Math.min(this.#allowed, this.#acked + window)
    if (this.#sent >= until) return
    const now = performance.now()
    const packets: Buffer[] = []
    for (; this.#sent < until; this.#sent++) {
      const packet = this.#packets[this.#sent]
      if (packet) packets.push(packet)
      this.#packets[this.#sent] = undefined
      this.#sentAt[this.#sent] = now
    }
    this.#client.send(packets.length === 1 && packets[0] ? packets[0] : Buffer.concat(packets))
  }

  #deviceId(device: number): string {
    return `${siteName(this.#index)}:${deviceName(device)}`
  }

  #birthOf(
    device: number,
    tag: number,
    firstValue: (device: number, tag: number) => number,
    at: { timestamp: number },
  ) {
    const type = typeOf(tag)
    const described = {
      ...({ name: `t${tag}`, type, class: 'raw', unit: 'm3/h', scanMs: 1_000, heartbeatMs: 60_000 } as const),
      ...{ deadband: null, resolution: null, modulus: null, min: null, max: null },
    }
    const properties = birthProperties(
      { site: siteName(this.#index), tag: described, retired: false },
      { quality: 'good', reason: null },
    )
    const alias = device * this.#shape.tagsPerDevice + tag + 1
    return birthMetric(type, firstValue(device, tag), { name: described.name, alias, properties, ...at })
  }
}
