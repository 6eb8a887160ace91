import type { HostState } from '@penstock/core/sparkplug/state.ts'
import { parseState } from '@penstock/core/sparkplug/state.ts'
import type { Ingest } from '@penstock/gateway/ingest/ingest.ts'
import type { FakeEdge, FakeEdgeOptions } from '../gateway/ingest/fake-edge.ts'
import { type GatewayOptions, World } from '../gateway/ingest/harness.ts'
import { done, pass, until } from './passing-time.ts'
import { WatchedBroker } from './watched-broker.ts'

export const hostClient = 'penstock-data-led'
export const stateTopic = 'spBv1.0/STATE/penstock'

/** A STATE message as it came to the broker. */
export interface SaidState extends HostState {
  readonly qos: number
  readonly retain: boolean
  readonly text: string
  readonly at: number
}

/** The real host application of the gateway on a real broker and manual time, and edges made by hand. */
export class HostWorld {
  readonly broker: WatchedBroker
  readonly world = new World()

  private constructor(broker: WatchedBroker, protocol: 4 | 5, others: readonly WatchedBroker[]) {
    this.broker = broker
    Object.assign(this.world.network, { connect: broker.connector(protocol, others) })
  }

  static async open(protocol: 4 | 5 = 4, others: readonly WatchedBroker[] = []): Promise<HostWorld> {
    return new HostWorld(await WatchedBroker.open(), protocol, others)
  }

  /** Opens the gateway; it is online at the broker when this resolves. */
  async start(options: GatewayOptions = {}): Promise<Ingest> {
    const ingest = await this.world.gateway(options)
    await this.until('the host is online', () => ingest.status().host.online)
    return ingest
  }

  edge(options: Partial<FakeEdgeOptions> = {}): Promise<FakeEdge> {
    return done(this.world.time, 'the edge is connected', this.world.edge(options))
  }

  states(client = hostClient): SaidState[] {
    return this.broker.publishes(client).flatMap(({ topic, payload, qos, retain, at }) => {
      const state = topic === stateTopic ? parseState(payload) : null
      return state ? [{ ...state, qos, retain, at, text: payload.toString('utf8') }] : []
    })
  }

  until(what: string, is: () => boolean): Promise<void> {
    return until(this.world.time, what, is)
  }

  pass(ms: number): Promise<void> {
    return pass(this.world.time, ms)
  }

  async stop(ingest: Ingest): Promise<void> {
    await done(this.world.time, 'a clean stop', ingest.close())
    await this.until('the end of the connection', () => !this.broker.clients.includes(hostClient))
  }

  async close(): Promise<void> {
    for (const ingest of this.world.opened) await done(this.world.time, 'a clean stop', ingest.close())
    await this.broker.close()
  }
}
