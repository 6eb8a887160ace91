import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { type Duplex, duplexPair } from 'node:stream'
import { systemTicker } from '@penstock/core/runtime/clock.ts'
import type { ConnectLink } from '@penstock/core/runtime/link.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { mqttConnector } from '@penstock/core/runtime/mqtt-link.ts'
import { decodePayload } from '@penstock/core/sparkplug/codec.ts'
import type { Payload } from '@penstock/core/sparkplug/payload.ts'
import { parseTopic } from '@penstock/core/sparkplug/topics.ts'
import { Aedes } from 'aedes'
import { type Connect, type Packet, PacketReader, type Publish } from './mqtt-packets.ts'
import { Mqtt5Peer } from './mqtt5-peer.ts'

/** Something that a client did, in the order in which it came to the broker. */
export interface Event {
  readonly client: string
  readonly at: number
  /** `end`: the connection is gone */
  readonly did: Packet | { readonly kind: 'end' }
}

/** A Sparkplug message that a client published itself (not a will). */
export interface Message extends Publish {
  readonly client: string
  readonly verb: string
  readonly group: string
  readonly edge: string
  readonly device: string | null
  readonly content: Payload
  readonly at: number
}

/** A real broker (Aedes, MQTT 3.1.1; for MQTT 5 a small peer) that notes every packet of every client. */
export class WatchedBroker {
  readonly url: string
  readonly events: Event[] = []
  readonly mqtt5 = new Mqtt5Peer()
  readonly #aedes: Aedes
  readonly #server: Server
  readonly #sockets = new Map<Socket, { client: string }>()

  private constructor(aedes: Aedes, server: Server, port: number) {
    this.#aedes = aedes
    this.#server = server
    this.url = `mqtt://127.0.0.1:${port}`
    server.on('connection', socket => this.#serve(socket))
  }

  static async open(): Promise<WatchedBroker> {
    const aedes = await Aedes.createBroker({ drainTimeout: 3000 })
    const server = createServer({ noDelay: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    return new WatchedBroker(aedes, server, typeof address === 'object' && address ? address.port : 0)
  }

  /** Connects to this broker, and to `others` in turn. */
  connector(protocol: 4 | 5 = 4, others: readonly WatchedBroker[] = []): ConnectLink {
    const urls = [this, ...others].map(({ url }) => url)
    return mqttConnector({
      ...{ urls, username: null, password: null, ca: null, protocol, keepaliveS: 30 },
      ...{ log: silentLogger, ticker: systemTicker },
    })
  }

  connects(client: string): (Connect & { readonly at: number })[] {
    return this.events.flatMap(({ client: who, at, did }) =>
      who === client && did.kind === 'connect' ? [{ ...did, at }] : [],
    )
  }

  publishes(client: string): (Publish & { readonly at: number })[] {
    return this.events.flatMap(({ client: who, at, did }) =>
      who === client && did.kind === 'publish' ? [{ ...did, at }] : [],
    )
  }

  /** What is connected now. */
  get clients(): string[] {
    return [...this.#sockets.values()].map(({ client }) => client)
  }

  /** Messages of the Sparkplug payload, that is all but STATE. */
  messages(client: string, ...verbs: readonly string[]): Message[] {
    return this.publishes(client).flatMap(publish => {
      const parsed = parseTopic(publish.topic)
      if (!parsed || parsed.kind === 'state' || (verbs.length > 0 && !verbs.includes(parsed.verb))) return []
      const { verb, group, edge } = parsed
      const device = parsed.kind === 'device' ? parsed.device : null
      return [{ ...publish, client, verb, group, edge, device, content: decodePayload(publish.payload) }]
    })
  }

  /** The network fails for one client: its will is published. */
  drop(client: string): void {
    for (const [socket, { client: who }] of this.#sockets) if (who === client) socket.destroy()
  }

  async close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    await new Promise<void>(resolve => this.#aedes.close(() => resolve()))
    for (const socket of this.#sockets.keys()) socket.destroy()
    await closed
  }

  #serve(socket: Socket): void {
    const known = { client: '' }
    const reader = new PacketReader()
    let broker: Duplex | null = null
    this.#sockets.set(socket, known)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      for (const did of reader.read(chunk)) {
        if (did.kind === 'connect') known.client = did.clientId
        if (did.kind === 'connect' && did.level === 4) broker = this.#pipe(socket)
        this.#note(known.client, did)
        if (!broker) this.mqtt5.answer(did, bytes => socket.write(bytes))
      }
      broker?.write(chunk)
    })
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.#note(known.client, { kind: 'end' })
      broker?.destroy()
    })
  }

  /** The connection as Aedes sees it: the same bytes, and its end. */
  #pipe(socket: Socket): Duplex {
    const [near, far] = duplexPair()
    near.on('data', (chunk: Buffer) => socket.write(chunk))
    near.on('close', () => {
      socket.destroy()
      far.destroy()
    })
    near.on('end', () => socket.end())
    for (const end of [near, far]) end.on('error', () => {})
    this.#aedes.handle(far)
    return near
  }

  #note(client: string, did: Event['did']): void {
    this.events.push({ client, at: this.events.length, did })
  }
}
