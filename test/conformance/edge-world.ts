import { metricNames } from '@penstock/core/delivery/wire.ts'
import { birthMetric } from '@penstock/core/sparkplug/values.ts'
import { device, edge, group, host, tag, World, type WorldOptions } from '../edge/uplink/world.ts'
import { done, pass, until } from './passing-time.ts'
import { type Message, WatchedBroker } from './watched-broker.ts'

export const edgeClient = `${group}.${edge}`
export const stateOfHost = `spBv1.0/STATE/${host}`

export const pump = device('pump-1', [
  tag('speed', { unit: 'rpm', deadband: 5, min: 0, max: 3000 }),
  tag('running', { type: 'Boolean', class: 'alarm', unit: null }),
])

/** The real edge (uplink with its outbox) and a host that does what the test says, on real brokers and manual time. */
export class EdgeWorld {
  readonly broker: WatchedBroker
  readonly world: World
  readonly #others: readonly WatchedBroker[]

  private constructor(broker: WatchedBroker, others: readonly WatchedBroker[], options: WorldOptions, protocol: 4 | 5) {
    this.broker = broker
    this.#others = others
    const connect = broker.connector(protocol, others)
    this.world = new World({ ...options, uplink: { ...options.uplink, connect, servers: 1 + others.length } })
    Object.assign(this.world.network, { connect: broker.connector() })
  }

  static async open(options: WorldOptions & { protocol?: 4 | 5; brokers?: number } = {}): Promise<EdgeWorld> {
    const { protocol = 4, brokers = 1, ...rest } = options
    const [first, ...others] = await Promise.all(Array.from({ length: brokers }, () => WatchedBroker.open()))
    if (!first) throw new RangeError('no broker')
    return new EdgeWorld(first, others, rest, protocol)
  }

  get others(): readonly WatchedBroker[] {
    return this.#others
  }

  /** What the edge published at the first broker. */
  sent(...verbs: readonly string[]): Message[] {
    return this.broker.messages(edgeClient, ...verbs)
  }

  until(what: string, is: () => boolean): Promise<void> {
    return until(this.world.time, what, is)
  }

  pass(ms: number): Promise<void> {
    return pass(this.world.time, ms)
  }

  /** The host goes online before the edge starts, so that its STATE is retained and the births come at once. */
  async start(): Promise<void> {
    await this.world.hostOnline()
    await this.until('STATE at the broker', () => this.broker.publishes('gateway').length > 0)
    await this.world.start()
    await this.born(1)
  }

  /** Until the edge was born so often, with all devices, and the host has greeted it. */
  async born(times: number): Promise<void> {
    const devices = this.world.source.devices.length
    await this.until(`birth ${times}`, () => {
      const births = this.sent('NBIRTH', 'DBIRTH')
      const last = births.findLastIndex(({ verb }) => verb === 'NBIRTH')
      return births.filter(({ verb }) => verb === 'NBIRTH').length >= times && births.length > last + devices
    })
  }

  async confirmed(): Promise<void> {
    await this.until('everything confirmed', () => {
      const classes = Object.values(this.world.uplink?.status().classes ?? {})
      return classes.every(({ backlog }) => backlog === 0)
    })
  }

  async rebirth(): Promise<void> {
    const before = this.sent('NBIRTH').length
    this.world.rebirth()
    await this.born(before + 1)
  }

  command(name: string, value: string): void {
    this.world.command([birthMetric('String', value, { name, timestamp: this.world.time.now() })])
  }

  async stop(): Promise<void> {
    await done(this.world.time, 'a clean stop', this.world.stop())
    await this.until('the end of the connection', () => !this.broker.clients.includes(edgeClient))
  }

  async close(): Promise<void> {
    await done(this.world.time, 'a clean stop', this.world.stop())
    await this.world.hostLink?.close()
    for (const broker of [this.broker, ...this.#others]) await broker.close()
  }
}

export { metricNames }
