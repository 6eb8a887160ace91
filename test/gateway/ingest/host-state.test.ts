import { formatState, type HostState, parseState } from '@penstock/core/sparkplug/state.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startOfTime, World } from './harness.ts'

const topic = 'spBv1.0/STATE/penstock'

let world: World
let states: (HostState & { retain: boolean; qos: number; from: string })[]
beforeEach(() => {
  world = new World()
  states = []
  world.network.onMessage = (from, message) => {
    const state = message.topic === topic && parseState(message.payload)
    if (state) states.push({ ...state, retain: message.retain, qos: message.qos, from })
  }
})
afterEach(() => world.close())

/** Somebody else on the broker. */
async function other(clientId = 'somebody') {
  const connecting = world.network.connect({
    clientId,
    will: { topic: 'nothing', payload: new Uint8Array(), qos: 1, retain: false },
    onMessage: () => {},
    signal: new AbortController().signal,
  })
  await world.time.advance(1)
  const link = await connecting
  const say = async (state: HostState): Promise<void> => {
    const said = link.publishConfirmed(topic, formatState(state), { retain: true })
    await world.time.advance(1)
    await said
  }
  return { link, say }
}

const stampOf = (state: HostState | undefined): number => state?.timestamp ?? Number.NaN

describe('delivery protocol, rule 13: STATE of the host', () => {
  it('tck-id-host-topic-phid-birth-payload, -birth-qos, -birth-retain: online true, QoS 1, retained', async () => {
    await world.gateway()
    expect(states).toMatchObject([{ online: true, timestamp: startOfTime, qos: 1, retain: true }])
  })

  it('tck-id-host-topic-phid-death-payload, -death-qos, -death-retain, -birth-payload-timestamp: the will has the same time', async () => {
    await world.gateway()
    const [clientId = ''] = world.network.clients
    world.network.kill(clientId)
    expect(states.at(-1)).toMatchObject({ online: false, timestamp: stampOf(states[0]), qos: 1, retain: true })
  })

  it('tck-id-host-topic-phid-birth-sub-required, tck-id-message-flow-phid-sparkplug-subscription: subscribes before it says that it is online', async () => {
    const connect = world.network.connect
    const order: string[] = []
    Object.defineProperty(world.network, 'connect', {
      value: async (options: Parameters<typeof connect>[0]) => {
        const link = await connect(options)
        const subscribe = link.subscribe.bind(link)
        const publishConfirmed = link.publishConfirmed.bind(link)
        return Object.assign(link, {
          subscribe: (filters: string[], qos: 0 | 1) => {
            order.push(`subscribe ${filters.join(' ')}`)
            return subscribe(filters, qos)
          },
          publishConfirmed: (to: string, payload: Uint8Array, flags: { retain: boolean }) => {
            order.push(`publish ${to}`)
            return publishConfirmed(to, payload, flags)
          },
        })
      },
    })
    await world.gateway()
    expect(order).toEqual([`subscribe ${topic} spBv1.0/g1/# spBv1.0/g2/#`, `publish ${topic}`])
  })

  it('says it only when the consumers are at the end of the inbox', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.batch(0)
    await world.time.advance(1_000)
    await world.close()
    states.length = 0
    world.consumer.cursor = 0
    world.consumer.applied.length = 0
    let appliedBefore = -1
    world.network.onMessage = (_, message) => {
      if (message.topic === topic && appliedBefore < 0) appliedBefore = world.consumer.batches.length
    }
    await world.gateway()
    expect(appliedBefore).toBe(1)
  })

  it('tck-id-host-topic-phid-birth-required: says online again when somebody says offline', async () => {
    await world.gateway()
    const { say } = await other()
    await say({ online: false, timestamp: stampOf(states[0]) })
    await world.time.advance(10)
    expect(states.at(-1)).toMatchObject({ online: true, timestamp: stampOf(states[0]) })
  })

  it('says online again when the will of its earlier connection comes late', async () => {
    await world.gateway()
    const first = stampOf(states[0])
    world.network.crash({ keepRetained: true })
    world.network.restart()
    await world.time.advance(20_000)
    const second = stampOf(states.at(-1))
    expect(second).toBeGreaterThan(first)
    const { say } = await other()
    await say({ online: false, timestamp: first })
    await world.time.advance(10)
    expect(states.at(-1)).toMatchObject({ online: true, timestamp: second })
  })

  it('T grows with every connection, also when the clock goes back', async () => {
    await world.gateway()
    await world.close()
    world.time.jump(-3_600_000)
    await world.gateway()
    await world.close()
    const online = states.filter(state => state.online).map(stampOf)
    expect(online).toHaveLength(2)
    expect(online[1]).toBeGreaterThan(stampOf(states[1]))
    expect(states.map(stampOf)).toEqual(states.map(stampOf).toSorted((a, b) => a - b))
  })

  it('connects again with a larger T when a retained STATE has a later time than its own', async () => {
    const { say } = await other()
    const ahead = startOfTime + 10 * 365 * 86_400_000
    await say({ online: true, timestamp: ahead })
    states.length = 0
    const gateway = await world.gateway()
    await world.time.advance(5_000)
    expect(states.at(-1)).toMatchObject({ online: true, timestamp: ahead + 1 })
    expect(gateway.status().host).toMatchObject({ online: true, contested: false })
    await world.close()
    await world.gateway()
    expect(stampOf(states.at(-1))).toBeGreaterThan(ahead + 1)
  })

  it('connects again with a larger T when somebody says offline with a later time', async () => {
    await world.gateway()
    const { say } = await other()
    const later = world.time.now() + 100_000
    await say({ online: false, timestamp: later })
    await world.time.advance(5_000)
    expect(states.at(-1)).toMatchObject({ online: true, timestamp: later + 1 })
  })

  it('goes online when the timestamp cannot be saved because the disk is full', async () => {
    const gateway = await world.gateway()
    world.files.free = 0
    world.network.crash({ keepRetained: true })
    world.network.restart()
    await world.time.advance(20_000)
    expect(gateway.status().host.online).toBe(true)
  })
})

describe('two gateways under one host id', () => {
  it('both see it, neither confirms, and the one that stays goes on when the other has stopped', async () => {
    const first = await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(100)
    expect(edge.confirms).toHaveLength(1)
    const second = await world.gateway({ folder: '/other', consumers: [] })
    await world.time.advance(1_000)
    expect(first.status().host.contested).toBe(true)
    expect(second.status().host.contested).toBe(true)
    edge.born()
    edge.batch(0)
    await world.time.advance(60_000)
    expect(edge.confirms).toHaveLength(1)
    expect(first.edges()).toMatchObject([{ problem: 'another-gateway' }])

    const closing = second.close()
    await world.time.advance(5_000)
    await closing
    await world.time.advance(5_000)
    expect(first.status().host).toMatchObject({ online: true, contested: false })
    edge.born()
    await world.time.advance(1_000)
    expect(edge.confirms.at(-1)).toMatchObject({ ledger: 'data-ledger', session: edge.session, next: { raw: 1 } })
  })

  it('a copy with the same ledger, so the same client id, is seen too: they throw each other out', async () => {
    const first = await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(1_000)
    const identity = await world.files.readWhole('/data/identity.json')
    await world.files.replace('/copy/identity.json', identity ?? new Uint8Array())
    const second = await world.gateway({ folder: '/copy', consumers: [] })
    await world.time.advance(60_000)
    expect(first.status().host.contested).toBe(true)
    expect(second.status().host.contested).toBe(true)
  })

  it('a gateway goes on when the other one was only a voice: nobody answers its questions', async () => {
    const gateway = await world.gateway()
    const { say } = await other()
    await say({ online: true, timestamp: 12_345 })
    await world.time.advance(10)
    expect(gateway.status().host.contested).toBe(true)
    await world.time.advance(250_000)
    expect(gateway.status().host.contested).toBe(false)
  })

  it('is not fooled by its own messages that come twice', async () => {
    world.network.faults = { ...world.network.faults, repeat: 1 }
    const gateway = await world.gateway()
    await world.time.advance(1_000)
    expect(gateway.status().host.contested).toBe(false)
  })
})

describe('when the connection ends', () => {
  it('edges are given 10 s to be born again, then they count as offline', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(1_000)
    world.network.crash({ keepRetained: true })
    await world.time.advance(5_000)
    expect(gateway.edges()[0]).toMatchObject({ online: true })
    await world.time.advance(6_000)
    expect(gateway.edges()[0]).toMatchObject({ online: false })
    expect(world.live.get('plant/fm-1/flow', world.time.now())).toMatchObject({
      value: null,
      quality: 'bad',
      reason: 'edge-offline',
      lastGood: { value: 1 },
    })
    expect(world.consumer.events).toEqual(['online g1/e1', 'device-online g1/e1 plant:fm-1', 'offline g1/e1'])
  })

  it('an edge that is born again in time was never gone', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(1_000)
    world.network.crash({ keepRetained: true })
    world.network.restart()
    await world.time.advance(3_000)
    const again = await world.edge()
    again.born()
    await world.time.advance(60_000)
    expect(world.consumer.events).toEqual(['online g1/e1', 'device-online g1/e1 plant:fm-1'])
  })
})
