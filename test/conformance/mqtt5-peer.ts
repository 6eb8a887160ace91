import type { Packet } from './mqtt-packets.ts'

/** The answers of a broker of MQTT 5.0 to one client: enough for a session of an edge or a host. Source: MQTT 5.0, chapter 3. */
export class Mqtt5Peer {
  /** topic → payload; given to whoever subscribes to exactly this topic */
  readonly retained = new Map<string, Uint8Array>()

  answer(packet: Packet, send: (bytes: Buffer) => void): void {
    if (packet.kind === 'connect') send(Buffer.from([0x20, 3, 0, 0, 0]))
    else if (packet.kind === 'publish' && packet.id !== null) send(Buffer.from([0x40, 2, ...uint16(packet.id)]))
    else if (packet.kind === 'subscribe') {
      const granted = packet.filters.map(({ qos }) => qos)
      send(Buffer.from([0x90, 3 + granted.length, ...uint16(packet.id), 0, ...granted]))
      for (const { topic } of packet.filters) {
        const payload = this.retained.get(topic)
        if (payload) send(publish(topic, payload))
      }
    }
  }
}

function publish(topic: string, payload: Uint8Array): Buffer {
  const name = Buffer.from(topic)
  const body = Buffer.concat([Buffer.from(uint16(name.length)), name, Buffer.from([0]), payload])
  return Buffer.concat([Buffer.from([0x31, body.length]), body])
}

const uint16 = (value: number): [number, number] => [value >> 8, value & 0xff]
