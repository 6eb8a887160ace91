import { connect, type Socket } from 'node:net'

/** As much of MQTT 3.1.1 as a load needs, so that the load costs less than what it loads. QoS 0 only. */

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}

function packet(head: number, ...parts: readonly Uint8Array[]): Buffer {
  let left = parts.reduce((sum, part) => sum + part.length, 0)
  const length: number[] = []
  do {
    length.push((left & 127) | (left > 127 ? 128 : 0))
    left >>>= 7
  } while (left > 0)
  return Buffer.concat([Buffer.from([head, ...length]), ...parts])
}

export const publishPacket = (topic: string, payload: Uint8Array): Buffer => packet(0x30, text(topic), payload)

const connectPacket = (clientId: string): Buffer =>
  // clean session, no keep-alive
  packet(0x10, text('MQTT'), Buffer.from([4, 2, 0, 0]), text(clientId))

const subscribePacket = (filter: string): Buffer => packet(0x82, Buffer.from([0, 1]), text(filter), Buffer.from([0]))

export interface RawClient {
  /** The socket's own buffer takes what the broker does not. */
  send(packets: Uint8Array): void
  close(): void
}

/** Connects, subscribes to one filter, and resolves when the broker has said so. @throws Error when the broker hangs up before */
export function rawClient(
  port: number,
  clientId: string,
  filter: string,
  onMessage: (topic: string, payload: Buffer) => void,
): Promise<RawClient> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let rest: Buffer = Buffer.alloc(0)
    socket.on('connect', () => socket.write(Buffer.concat([connectPacket(clientId), subscribePacket(filter)])))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`the broker hung up on ${clientId}`)))
    socket.on('data', bytes => {
      rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
      for (;;) {
        const found = nextPacket(rest)
        if (!found) return
        rest = rest.subarray(found.end)
        const kind = found.head >> 4
        if (kind === 9) resolve({ send: packets => socket.write(packets), close: () => socket.destroy() })
        if (kind !== 3) continue
        const topicEnd = 2 + found.body.readUInt16BE(0)
        onMessage(found.body.toString('utf8', 2, topicEnd), found.body.subarray(topicEnd))
      }
    })
  })
}

function nextPacket(bytes: Buffer): { head: number; body: Buffer; end: number } | null {
  let length = 0
  for (let at = 1, shift = 0; at < bytes.length && at < 5; at++, shift += 7) {
    const byte = bytes[at] ?? 0
    length |= (byte & 127) << shift
    if (byte > 127) continue
    const end = at + 1 + length
    return end > bytes.length ? null : { head: bytes[0] ?? 0, body: bytes.subarray(at + 1, end), end }
  }
  return null
}
