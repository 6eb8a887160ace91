import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import type { Ticker } from './clock.ts'
import { PenstockError } from './errors.ts'
import type { ConnectLink, Link, LinkOptions, PublishOptions } from './link.ts'
import type { Logger } from './log.ts'
import { isRefusal, reasonOfMqtt } from './mqtt-reasons.ts'

export interface MqttOptions {
  /** `mqtt:`, `mqtts:`, `ws:`, `wss:`; each call of the connector takes the next one */
  readonly urls: readonly string[]
  readonly username: string | null
  readonly password: string | null
  /** PEM of the authority that signed the broker's certificate; null: those of the system */
  readonly ca: string | null
  /** 4 is MQTT 3.1.1; auto: 5, and 4 for a broker that refuses 5 */
  readonly protocol: 'auto' | 4 | 5
  readonly keepaliveS: number
  readonly log: Logger
  readonly ticker: Ticker
}

const connectTimeoutMs = 10_000
const closeTimeoutMs = 3_000
/** The broker of MQTT 5 sends nothing larger; ours are at most 256 KiB. */
const maximumPacketSize = 16 * 1024 * 1024
/** The supervisor reconnects, never the library; nothing is kept for a later connection. */
const neverReconnect = { reconnectPeriod: 0, resubscribe: false, queueQoSZero: false } as const

type Version = 4 | 5

/** Connections over MQTT.js: always clean, MQTT 5 or 3.1.1, one URL of the list per call. */
export function mqttConnector(options: MqttOptions): ConnectLink {
  const refusesFive = new Set<string>()
  let turn = 0
  return async link => {
    const url = options.urls[turn++ % options.urls.length]
    if (url === undefined) throw new TypeError('no URL of a broker')
    if (options.protocol !== 'auto') return openLink(url, options.protocol, options, link)
    if (refusesFive.has(url)) return openLink(url, 4, options, link)
    try {
      return await openLink(url, 5, options, link)
    } catch (error) {
      if (!(error instanceof NotFive)) throw error
      // a broker that only hangs up may have another reason, so it is asked again next time
      if (error.said) refusesFive.add(url)
      options.log.debug({ url: withoutSecrets(url) }, 'the broker does not take MQTT 5, trying 3.1.1')
      return openLink(url, 4, options, link)
    }
  }
}

/** The broker does not speak MQTT 5; `said`: it sent the code for this. */
class NotFive extends PenstockError {
  readonly said: boolean

  constructor(url: string, cause: string, said: boolean) {
    super('broker-unreachable', { url, cause })
    this.said = said
  }
}

function openLink(address: string, version: Version, options: MqttOptions, link: LinkOptions): Promise<Link> {
  const { promise, resolve, reject } = Promise.withResolvers<Link>()
  if (link.signal.aborted) return Promise.reject(link.signal.reason)
  const url = withoutSecrets(address)
  const client = connect(address, clientOptions(version, options, link))
  let reached = false
  let problem: Error | undefined

  const fail = (error: unknown): void => {
    reject(error)
    end(client)
  }
  const stop = (): void => fail(link.signal.reason)
  const failed = (error: Error): void => {
    problem ??= error
    end(client)
  }
  const closed = (): void => fail(failure(url, version, options, reached, problem))
  const deadline = options.ticker.after(connectTimeoutMs, () => {
    fail(new PenstockError('broker-unreachable', { url, cause: `no answer within ${connectTimeoutMs / 1000} s` }))
  })
  const settled = (): void => {
    deadline()
    link.signal.removeEventListener('abort', stop)
    // an error without a listener would end the process
    client.on('error', () => {})
    client.off('error', failed)
    client.off('close', closed)
  }
  promise.then(settled, settled)
  link.signal.addEventListener('abort', stop, { once: true })

  const { stream } = client
  if ('setNoDelay' in stream && typeof stream.setNoDelay === 'function') stream.setNoDelay(true)
  stream.once('connect', () => {
    reached = true
  })
  client.on('message', (topic, payload, packet) => link.onMessage(topic, payload, { retain: packet.retain }))
  client.on('error', failed)
  client.on('close', closed)
  client.once('connect', () => resolve(new MqttLink(client, version, url, options)))
  return promise
}

function clientOptions(version: Version, options: MqttOptions, { clientId, will }: LinkOptions): IClientOptions {
  return {
    ...neverReconnect,
    clientId,
    clean: true,
    protocolVersion: version,
    keepalive: options.keepaliveS,
    connectTimeout: 2 * connectTimeoutMs,
    // else 65 536 buffers are made at the first connection and kept: 16 MB for nothing
    writeCache: false,
    will: { topic: will.topic, payload: Buffer.from(will.payload), qos: will.qos, retain: will.retain },
    ...(options.username === null ? {} : { username: options.username }),
    ...(options.password === null ? {} : { password: options.password }),
    ...(options.ca === null ? {} : { ca: options.ca }),
    ...(version === 5 ? { properties: { sessionExpiryInterval: 0, maximumPacketSize } } : {}),
  }
}

function failure(
  url: string,
  version: Version,
  { username, protocol }: MqttOptions,
  reached: boolean,
  problem: Error | undefined,
): PenstockError {
  const { code, text } = reasonOfMqtt(problem, version)
  const mayFallBack = version === 5 && protocol === 'auto'
  if (mayFallBack && (code === 1 || code === 0x84)) return new NotFive(url, text, true)
  // hung up on, or answered with what is not MQTT 5; errors of the network and of TLS have a code in words
  const word = problem && 'code' in problem ? problem.code : 'ECONNRESET'
  if (mayFallBack && code === null && reached && word === 'ECONNRESET') return new NotFive(url, text, false)
  if (code !== null && isRefusal(code, version)) {
    return new PenstockError('broker-refused', { url, username: username ?? 'anonymous', cause: text })
  }
  return new PenstockError('broker-unreachable', { url, cause: text }, problem && { cause: problem })
}

class MqttLink implements Link {
  readonly ended: Promise<string>
  readonly #client: MqttClient
  readonly #version: Version
  readonly #url: string
  readonly #username: string
  readonly #ticker: Ticker
  readonly #waiting = new Set<(error: PenstockError) => void>()
  #end: string | undefined
  #closing: Promise<void> | undefined

  constructor(client: MqttClient, version: Version, url: string, { username, ticker }: MqttOptions) {
    this.#client = client
    this.#version = version
    this.#url = url
    this.#username = username ?? 'anonymous'
    this.#ticker = ticker
    this.ended = this.#watch()
  }

  get queuedBytes(): number {
    return this.#end === undefined ? this.#client.stream.writableLength : 0
  }

  subscribe(filters: readonly string[], qos: 0 | 1): Promise<void> {
    return this.#confirmed(done => {
      this.#client.subscribe([...filters], { qos }, (error, _, packet) => {
        const refused = packet?.granted.find(code => Number(code) >= 0x80)
        done(refused === undefined ? error : Object.assign(new Error('refused a subscription'), { code: refused }))
      })
    })
  }

  publish(topic: string, payload: Uint8Array, { qos, retain }: PublishOptions): void {
    if (this.#end !== undefined || this.#closing) return
    this.#client.publish(topic, payload as Buffer, { qos, retain })
  }

  publishConfirmed(topic: string, payload: Uint8Array, { retain }: { retain: boolean }): Promise<void> {
    return this.#confirmed(done => {
      this.#client.publish(topic, payload as Buffer, { qos: 1, retain }, error => done(error ?? null))
    })
  }

  /**
   * With will: MQTT 5 says DISCONNECT with reason 0x04; 3.1.1 has no such thing, so the connection is ended without
   * DISCONNECT after everything was written, upon which the broker publishes the will. Takes at most three seconds.
   */
  close({ withWill = false }: { withWill?: boolean } = {}): Promise<void> {
    this.#closing ??= this.#goodbye(withWill)
    return this.#closing
  }

  async #goodbye(withWill: boolean): Promise<void> {
    if (this.#end !== undefined) return
    this.#end ??= 'closed'
    const client = this.#client
    const cancel = this.#ticker.after(closeTimeoutMs, () => client.stream.destroy())
    if (withWill && this.#version === 4) client.stream.end()
    else if (withWill) client.end(false, { reasonCode: 0x04 })
    else client.end(false)
    await this.ended
    cancel()
  }

  /** Fails when the connection ends first: MQTT.js leaves such callbacks alone. */
  #confirmed(start: (done: (error: Error | null) => void) => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    if (this.#end !== undefined || this.#closing) return Promise.reject(this.#lost(this.#end ?? 'closed'))
    this.#waiting.add(reject)
    start(error => {
      this.#waiting.delete(reject)
      if (!error) return resolve()
      const { code, text } = reasonOfMqtt(error, this.#version)
      reject(
        code === null
          ? this.#lost(text)
          : new PenstockError('broker-refused', { url: this.#url, username: this.#username, cause: text }),
      )
    })
    return promise
  }

  #lost(cause: string): PenstockError {
    return new PenstockError('broker-unreachable', { url: this.#url, cause })
  }

  #watch(): Promise<string> {
    const client = this.#client
    let reason: string | undefined
    client.on('error', error => {
      reason ??= reasonOfMqtt(error, this.#version).text
      // a broken packet leaves the connection in a state that nobody knows
      client.stream.destroy()
    })
    client.on('disconnect', packet => {
      reason ??= `the broker said: ${reasonOfMqtt({ code: packet.reasonCode }, 5).text}`
    })
    return new Promise(resolve => {
      client.once('close', () => {
        this.#end ??= reason ?? 'the broker closed the connection'
        const error = this.#lost(this.#end)
        for (const reject of this.#waiting) reject(error)
        this.#waiting.clear()
        end(client)
        resolve(this.#end)
      })
    })
  }
}

/** Ends the client for good; repeated calls and those on a dead connection do no harm. */
function end(client: MqttClient): void {
  client.stream.destroy()
  client.end(true)
}

function withoutSecrets(address: string): string {
  const url = new URL(address)
  url.username = ''
  url.password = ''
  url.search = ''
  return url.href.replace(/\/$/, '')
}
