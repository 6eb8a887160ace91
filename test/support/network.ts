import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { ConnectLink, Link, LinkOptions, PublishOptions } from '@penstock/core/runtime/link.ts'
import type { ManualTime } from './manual-time.ts'
import type { SeededRandom } from './random.ts'

/** What may happen to a QoS 0 message on its way to one subscriber; probabilities. QoS 1 is only repeated and delayed. */
export interface Faults {
  readonly loss: number
  readonly repeat: number
  /**
   * The broker passes it on up to `lateMs` later, as bridges and clusters do: others overtake it, and it still reaches who subscribed
   * or came back meanwhile.
   */
  readonly late: number
  readonly lateMs: number
  /** an NBIRTH is lost, in addition */
  readonly birthLoss: number
  /** every hop takes a random part of this, in order */
  readonly delayMs: number
}

export const noFaults: Faults = { loss: 0, repeat: 0, late: 0, lateMs: 0, birthLoss: 0, delayMs: 0 }

export interface NetworkOptions {
  readonly time: ManualTime
  readonly random: SeededRandom
  readonly faults?: Faults
  /** A side that hears nothing for one and a half times this long ends the connection. */
  readonly keepaliveMs?: number
}

interface Message {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: 0 | 1
  readonly retain: boolean
}

const connectTimeoutMs = 10_000

/**
 * A broker with its network in one process, on manual time and seeded chance: clean sessions, wills, retained messages, filters with
 * `+` and `#`, take-over by client id, half-open connections. The same seed gives the same course of events.
 */
export class Network {
  faults: Faults
  /** Sees every message that reaches the broker. */
  onMessage: (from: string, message: Message) => void = () => {}
  readonly time: ManualTime
  readonly random: SeededRandom
  readonly keepaliveMs: number
  readonly #retained = new Map<string, Message>()
  readonly #connections = new Map<string, Connection>()
  readonly #cut = new Set<string>()
  #up = true

  constructor({ time, random, faults = noFaults, keepaliveMs = 30_000 }: NetworkOptions) {
    this.time = time
    this.random = random
    this.faults = faults
    this.keepaliveMs = keepaliveMs
  }

  get clients(): readonly string[] {
    return [...this.#connections.keys()]
  }

  readonly connect: ConnectLink = options => this.#connect(options)

  /** The process of a client dies: the broker notices and publishes its will; nothing more reaches the client. */
  kill(clientId: string): void {
    this.#connections.get(clientId)?.fail('killed')
  }

  /** The broker dies: connections end, wills and what is on its way are lost. */
  crash(options: { keepRetained: boolean }): void {
    this.#up = false
    for (const connection of [...this.#connections.values()]) connection.drop('the broker closed the connection')
    this.#connections.clear()
    if (!options.keepRetained) this.#retained.clear()
  }

  restart(): void {
    this.#up = true
  }

  /** Nothing passes any more; both sides notice only by their keep-alive. New connections time out. */
  partition(clientId: string): void {
    this.#cut.add(clientId)
    this.#connections.get(clientId)?.freeze()
  }

  isCut(clientId: string): boolean {
    return this.#cut.has(clientId)
  }

  heal(clientId: string): void {
    this.#cut.delete(clientId)
    this.#connections.get(clientId)?.thaw()
  }

  /** @internal */
  deliver(from: string, message: Message): void {
    this.onMessage(from, message)
    if (message.retain) {
      if (message.payload.length === 0) this.#retained.delete(message.topic)
      else this.#retained.set(message.topic, message)
    }
    const { late, lateMs, birthLoss } = this.faults
    if (message.qos === 0 && message.topic.includes('/NBIRTH/') && this.random.chance(birthLoss)) return
    const pass = (): void => {
      for (const connection of this.#connections.values()) connection.offer(message, false)
    }
    if (message.qos === 0 && this.random.chance(late)) this.time.after(Math.ceil(this.random.next() * lateMs), pass)
    else pass()
  }

  /** @internal */
  retainedFor(filter: string): Message[] {
    return [...this.#retained.values()].filter(({ topic }) => matches(filter, topic))
  }

  /** @internal */
  forget(connection: Connection): void {
    if (this.#connections.get(connection.clientId) === connection) this.#connections.delete(connection.clientId)
  }

  /** @internal How long a hop takes now. */
  hopMs(): number {
    return this.faults.delayMs > 0 ? Math.ceil(this.random.next() * this.faults.delayMs) : 0
  }

  async #connect(options: LinkOptions): Promise<Link> {
    const { clientId, signal } = options
    const unreachable = (cause: string) => new PenstockError('broker-unreachable', { url: 'network', cause })
    if (this.#cut.has(clientId)) {
      await this.#pause(connectTimeoutMs, signal)
      throw unreachable('no answer within 10 s')
    }
    await this.#pause(this.hopMs() + this.hopMs(), signal)
    if (!this.#up) throw unreachable('ECONNREFUSED')
    if (this.#cut.has(clientId)) throw unreachable('no answer within 10 s')
    this.#connections.get(clientId)?.fail('another client with the same id took over the session')
    const connection = new Connection(this, options)
    this.#connections.set(clientId, connection)
    return connection
  }

  #pause(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const cancel = this.time.after(delayMs, () => {
        signal.removeEventListener('abort', stop)
        resolve()
      })
      const stop = () => {
        cancel()
        reject(signal.reason)
      }
      signal.addEventListener('abort', stop, { once: true })
    })
  }
}

/** Packets in order, each after the hop it takes; one timer. */
class Pipe {
  readonly #time: ManualTime
  #queue: { due: number; run: () => void }[] = []
  #cancel: (() => void) | undefined
  #last = 0
  #frozen = false
  #closed = false

  constructor(time: ManualTime) {
    this.#time = time
  }

  send(delayMs: number, run: () => void): void {
    if (this.#closed) return
    this.#last = Math.max(this.#last, this.#time.now() + delayMs)
    this.#queue.push({ due: this.#last, run })
    if (this.#queue.length === 1) this.#arm()
  }

  freeze(): void {
    this.#frozen = true
    this.#cancel?.()
  }

  thaw(): void {
    this.#frozen = false
    if (this.#queue.length > 0) this.#arm()
  }

  close(): void {
    this.#closed = true
    this.#queue = []
    this.#cancel?.()
  }

  #arm(): void {
    if (this.#frozen) return
    const [next] = this.#queue
    if (next) this.#cancel = this.#time.after(next.due - this.#time.now(), () => this.#run())
  }

  #run(): void {
    const now = this.#time.now()
    while (!this.#closed && !this.#frozen) {
      const [next] = this.#queue
      if (!next || next.due > now) break
      this.#queue.shift()
      next.run()
    }
    if (!this.#closed && this.#queue.length > 0) this.#arm()
  }
}

class Connection implements Link {
  readonly clientId: string
  readonly ended: Promise<string>
  readonly #network: Network
  readonly #options: LinkOptions
  readonly #up: Pipe
  readonly #down: Pipe
  readonly #filters = new Map<string, 0 | 1>()
  readonly #waiting = new Set<(error: PenstockError) => void>()
  #resolveEnded: (reason: string) => void = () => {}
  #queuedBytes = 0
  #brokerOpen = true
  #clientOpen = true
  #frozen = false
  #deadlines: (() => void)[] = []
  #brokerDeadline: () => void = () => {}

  constructor(network: Network, options: LinkOptions) {
    this.#network = network
    this.#options = options
    this.clientId = options.clientId
    this.#up = new Pipe(network.time)
    this.#down = new Pipe(network.time)
    this.ended = new Promise(resolve => {
      this.#resolveEnded = resolve
    })
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  subscribe(filters: readonly string[], qos: 0 | 1): Promise<void> {
    return this.#confirmed(acknowledge => {
      for (const filter of filters) this.#filters.set(filter, qos)
      acknowledge()
      for (const filter of filters) for (const message of this.#network.retainedFor(filter)) this.offer(message, true)
    })
  }

  publish(topic: string, payload: Uint8Array, { qos, retain }: PublishOptions): void {
    if (!this.#clientOpen) return
    const message = { topic, payload: payload.slice(), qos, retain }
    this.#queuedBytes += payload.length
    this.#up.send(this.#network.hopMs(), () => {
      this.#queuedBytes -= payload.length
      if (this.#brokerOpen) this.#network.deliver(this.clientId, message)
    })
  }

  publishConfirmed(topic: string, payload: Uint8Array, { retain }: { retain: boolean }): Promise<void> {
    const message = { topic, payload: payload.slice(), qos: 1 as const, retain }
    return this.#confirmed(acknowledge => {
      this.#network.deliver(this.clientId, message)
      acknowledge()
    })
  }

  close({ withWill = false }: { withWill?: boolean } = {}): Promise<void> {
    if (!this.#clientOpen) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    // what was published before goes out before the DISCONNECT; a frozen connection is given up after a while
    const leave = (will: boolean) => {
      this.#endBroker(will)
      this.#endClient('closed')
      resolve()
    }
    this.#up.send(this.#network.hopMs(), () => leave(withWill))
    this.#deadlines.push(
      this.#network.time.after(3_000, () => {
        this.#endClient('closed')
        resolve()
      }),
    )
    void this.ended.then(() => resolve())
    return promise
  }

  /** From the broker to this client. */
  offer(message: Message, retained: boolean): void {
    if (!this.#brokerOpen) return
    let granted: 0 | 1 | null = null
    for (const [filter, qos] of this.#filters)
      if (matches(filter, message.topic)) granted = qos === 1 ? 1 : (granted ?? 0)
    if (granted === null) return
    const { random, faults } = this.#network
    const reliable = granted === 1 && message.qos === 1
    const copies = random.chance(faults.repeat) ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const hear = (): void => {
        if (this.#clientOpen) this.#options.onMessage(message.topic, message.payload, { retain: retained })
      }
      if (!reliable && random.chance(faults.loss)) continue
      this.#down.send(this.#network.hopMs(), hear)
    }
  }

  /** The broker finds that the client is gone. */
  fail(reason: string): void {
    this.#endClient(reason)
    this.#endBroker(true)
  }

  /** The broker is gone. */
  drop(reason: string): void {
    this.#brokerOpen = false
    this.#endClient(reason)
  }

  freeze(): void {
    if (this.#frozen) return
    this.#frozen = true
    this.#up.freeze()
    this.#down.freeze()
    const patience = this.#network.keepaliveMs * 1.5
    this.#deadlines.push(this.#network.time.after(patience, () => this.#endClient('Keepalive timeout')))
    this.#brokerDeadline = this.#network.time.after(patience, () => this.#endBroker(true))
  }

  thaw(): void {
    this.#frozen = false
    this.#brokerDeadline()
    for (const cancel of this.#deadlines.splice(0)) cancel()
    if (!this.#brokerOpen || !this.#clientOpen) {
      this.#endClient('ECONNRESET')
      this.#endBroker(true)
      return
    }
    this.#up.thaw()
    this.#down.thaw()
  }

  #confirmed(atBroker: (acknowledge: () => void) => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const lost = (cause: string) => new PenstockError('broker-unreachable', { url: 'network', cause })
    if (!this.#clientOpen) return Promise.reject(lost('closed'))
    this.#waiting.add(reject)
    const acknowledge = (): void => {
      this.#down.send(this.#network.hopMs(), () => {
        this.#waiting.delete(reject)
        resolve()
      })
    }
    this.#up.send(this.#network.hopMs(), () => atBroker(acknowledge))
    return promise
  }

  #endClient(reason: string): void {
    if (!this.#clientOpen) return
    this.#clientOpen = false
    for (const cancel of this.#deadlines.splice(0)) cancel()
    this.#up.close()
    this.#down.close()
    this.#queuedBytes = 0
    const error = new PenstockError('broker-unreachable', { url: 'network', cause: reason })
    for (const reject of this.#waiting) reject(error)
    this.#waiting.clear()
    this.#resolveEnded(reason)
    if (this.#brokerOpen && !this.#frozen) {
      // a reset reaches the broker unless the network is cut: then its keep-alive has to notice
      this.#network.time.after(this.#network.hopMs(), () => this.#endBroker(true))
    }
  }

  #endBroker(publishWill: boolean): void {
    if (!this.#brokerOpen) return
    this.#brokerOpen = false
    this.#brokerDeadline()
    this.#network.forget(this)
    if (publishWill) this.#network.deliver(this.clientId, this.#options.will)
  }
}

/** MQTT 3.1.1, clause 4.7. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  for (const [index, part] of wanted.entries()) {
    if (part === '#') return true
    if (index >= levels.length || (part !== '+' && part !== levels[index])) return false
  }
  return wanted.length === levels.length
}
