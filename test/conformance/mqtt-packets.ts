/** What a client said to a broker, read from the bytes of its connection. Source: MQTT 3.1.1 and 5.0, chapter 3. */
export type Packet = Connect | Subscribe | Publish | Disconnect

export interface Connect {
  readonly kind: 'connect'
  /** 4: MQTT 3.1.1, 5: MQTT 5.0 */
  readonly level: number
  readonly clientId: string
  /** 3.1.1: clean session, 5.0: clean start */
  readonly clean: boolean
  /** 5.0, s; null: not sent, which means 0 */
  readonly sessionExpiryS: number | null
  readonly will: {
    readonly topic: string
    readonly payload: Buffer
    readonly qos: number
    readonly retain: boolean
  } | null
}

interface Subscribe {
  readonly kind: 'subscribe'
  readonly id: number
  readonly filters: readonly { readonly topic: string; readonly qos: number }[]
}

export interface Publish {
  readonly kind: 'publish'
  readonly topic: string
  readonly payload: Buffer
  readonly qos: number
  readonly retain: boolean
  /** null with QoS 0 */
  readonly id: number | null
}

interface Disconnect {
  readonly kind: 'disconnect'
  /** 5.0; 3.1.1 has none, which is 0 */
  readonly reason: number
}

const types = { connect: 1, publish: 3, subscribe: 8, disconnect: 14 } as const

/** Cuts the bytes of one client into packets; kinds that no test asks about (PUBACK, PINGREQ) are left out. */
export class PacketReader {
  #bytes: Buffer = Buffer.alloc(0)
  #level = 4

  read(chunk: Buffer): Packet[] {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    const packets: Packet[] = []
    for (;;) {
      const frame = this.#frame()
      if (!frame) return packets
      const packet = this.#packet(frame.head, new Fields(frame.body))
      if (packet) packets.push(packet)
    }
  }

  #frame(): { head: number; body: Buffer } | null {
    let length = 0
    for (let at = 1; at <= 4; at++) {
      const byte = this.#bytes[at]
      if (byte === undefined) return null
      length += (byte & 0x7f) * 2 ** (7 * (at - 1))
      if (byte >= 0x80) continue
      const end = at + 1 + length
      if (this.#bytes.length < end) return null
      const frame = { head: this.#bytes[0] ?? 0, body: this.#bytes.subarray(at + 1, end) }
      this.#bytes = this.#bytes.subarray(end)
      return frame
    }
    throw new Error('a length of more than four bytes')
  }

  #packet(head: number, fields: Fields): Packet | null {
    switch (head >> 4) {
      case types.connect:
        return this.#connect(fields)
      case types.publish: {
        const qos = (head >> 1) & 3
        const topic = fields.text()
        const id = qos === 0 ? null : fields.uint16()
        if (this.#level === 5) fields.properties()
        return { kind: 'publish', topic, payload: fields.rest(), qos, retain: (head & 1) === 1, id }
      }
      case types.subscribe: {
        const id = fields.uint16()
        if (this.#level === 5) fields.properties()
        const filters: { topic: string; qos: number }[] = []
        while (fields.more) filters.push({ topic: fields.text(), qos: fields.byte() & 3 })
        return { kind: 'subscribe', id, filters }
      }
      case types.disconnect:
        return { kind: 'disconnect', reason: fields.more ? fields.byte() : 0 }
      default:
        return null
    }
  }

  #connect(fields: Fields): Connect {
    fields.text()
    const level = fields.byte()
    const flags = fields.byte()
    fields.uint16()
    this.#level = level
    const sessionExpiryS = level === 5 ? fields.properties() : null
    const clientId = fields.text()
    let will: Connect['will'] = null
    if (flags & 0x04) {
      if (level === 5) fields.properties()
      const topic = fields.text()
      will = { topic, payload: fields.binary(), qos: (flags >> 3) & 3, retain: (flags & 0x20) !== 0 }
    }
    return { kind: 'connect', level, clientId, clean: (flags & 0x02) !== 0, sessionExpiryS, will }
  }
}

/** Sizes of the properties of MQTT 5.0 that have a fixed one. */
const propertySizes = new Map([
  [0x01, 1],
  [0x02, 4],
  [0x11, 4],
  [0x17, 1],
  [0x18, 4],
  [0x19, 1],
  [0x21, 2],
  [0x22, 2],
  [0x27, 4],
])

class Fields {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get more(): boolean {
    return this.#at < this.#bytes.length
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#at++)
  }

  uint16(): number {
    this.#at += 2
    return this.#bytes.readUInt16BE(this.#at - 2)
  }

  binary(): Buffer {
    const length = this.uint16()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  text(): string {
    return this.binary().toString('utf8')
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#at)
  }

  /** Skips the properties of a packet; the session expiry interval if it is among them. Lengths here are below 128. */
  properties(): number | null {
    const length = this.byte()
    const end = this.#at + length
    let sessionExpiryS: number | null = null
    while (this.#at < end) {
      const id = this.byte()
      if (id === 0x11) sessionExpiryS = this.#bytes.readUInt32BE(this.#at)
      const size = propertySizes.get(id)
      if (size === undefined) throw new Error(`a property ${id} that these tests do not know`)
      this.#at += size
    }
    return sessionExpiryS
  }
}
