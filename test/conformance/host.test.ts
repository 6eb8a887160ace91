import { metricNames } from '@penstock/core/delivery/wire.ts'
import { datatypeNumbers } from '@penstock/core/sparkplug/datatypes.ts'
import { formatState } from '@penstock/core/sparkplug/state.ts'
import { birthMetric, typedValue } from '@penstock/core/sparkplug/values.ts'
import type { Ingest } from '@penstock/gateway/ingest/ingest.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startOfTime } from '../gateway/ingest/harness.ts'
import { HostWorld, hostClient, stateTopic } from './host-world.ts'
import { title } from './title.ts'
import { WatchedBroker } from './watched-broker.ts'

let world: HostWorld
let ingest: Ingest
beforeEach(async () => {
  world = await HostWorld.open()
  ingest = await world.start()
})
afterEach(() => world.close())

const commands = () => world.broker.messages(hostClient, 'NCMD')
const rebirths = () =>
  commands().filter(({ content }) => content.metrics.some(({ name }) => name === 'Node Control/Rebirth'))
const did = (client = hostClient) =>
  world.broker.events.filter(event => event.client === client).map(event => event.did)
const connect = () => world.broker.connects(hostClient).at(-1)
const willState = () => JSON.parse(connect()?.will?.payload.toString('utf8') ?? '{}')

/** Somebody else at the broker who speaks on the host's STATE topic. */
async function say(online: boolean, timestamp: number): Promise<void> {
  const link = await world.broker.connector()({
    ...{ clientId: 'somebody', onMessage: () => {}, signal: new AbortController().signal },
    will: { topic: 'none', payload: new Uint8Array(), qos: 1, retain: false },
  })
  await link.publishConfirmed(stateTopic, formatState({ online, timestamp }), { retain: true })
  await link.close()
}

describe('the will of the host', () => {
  it(title`
      tck-id-host-topic-phid-death-required
      tck-id-host-topic-phid-death-topic
      tck-id-host-topic-phid-death-qos
      tck-id-host-topic-phid-death-retain
      tck-id-operational-behavior-host-application-connect-will
      tck-id-operational-behavior-host-application-connect-will-topic
      tck-id-operational-behavior-host-application-connect-will-qos
      tck-id-operational-behavior-host-application-connect-will-retained
      tck-id-payloads-state-will-message
      tck-id-payloads-state-will-message-qos
      tck-id-payloads-state-will-message-retain:
      is on its STATE topic, QoS 1, retained`, () =>
    expect(connect()?.will).toMatchObject({ topic: 'spBv1.0/STATE/penstock', qos: 1, retain: true }))

  it(title`
      tck-id-host-topic-phid-death-payload
      tck-id-host-topic-phid-death-payload-timestamp-connect
      tck-id-operational-behavior-host-application-connect-will-payload
      tck-id-payloads-state-will-message-payload:
      is JSON with online false and the UTC time of CONNECT`, () =>
    expect(willState()).toEqual({ online: false, timestamp: startOfTime }))

  it(title`
      tck-id-message-flow-phid-sparkplug-clean-session-311:
      MQTT 3.1.1, clean session`, () => expect(connect()).toMatchObject({ level: 4, clean: true }))
})

describe('the birth of the host', () => {
  it(title`
      tck-id-host-topic-phid-birth-message
      tck-id-host-topic-phid-birth-sub-required
      tck-id-host-topic-phid-birth-required
      tck-id-message-flow-phid-sparkplug-subscription
      tck-id-message-flow-phid-sparkplug-state-publish
      tck-id-operational-behavior-host-application-connect-birth
      tck-id-operational-behavior-primary-application-state-with-multiple-servers-state
      tck-id-payloads-state-subscribe
      tck-id-payloads-state-birth:
      CONNECT, then its own STATE and its groups are subscribed, then STATE is the first message`, async () => {
    const order = did()
    expect(order.slice(0, 3).map(({ kind }) => kind)).toEqual(['connect', 'subscribe', 'publish'])
    const [, subscribe, first] = order
    const filters = subscribe?.kind === 'subscribe' ? subscribe.filters.map(({ topic }) => topic) : []
    expect(filters).toEqual([stateTopic, 'spBv1.0/g1/#', 'spBv1.0/g2/#'])
    expect(first).toMatchObject({ topic: stateTopic })
    world.broker.drop(hostClient)
    await world.until('online again', () => world.states().length > 1)
    const again = did().slice(did().findLastIndex(({ kind }) => kind === 'connect'))
    expect(again.slice(0, 3).map(({ kind }) => kind)).toEqual(['connect', 'subscribe', 'publish'])
    expect(again[2]).toMatchObject({ topic: stateTopic })
  })

  it(title`
      tck-id-host-topic-phid-birth-topic
      tck-id-host-topic-phid-birth-qos
      tck-id-host-topic-phid-birth-retain
      tck-id-host-topic-phid-birth-payload
      tck-id-message-flow-phid-sparkplug-state-publish-payload
      tck-id-operational-behavior-host-application-connect-birth-topic
      tck-id-operational-behavior-host-application-connect-birth-payload
      tck-id-operational-behavior-host-application-connect-birth-qos
      tck-id-operational-behavior-host-application-connect-birth-retained
      tck-id-payloads-state-birth-payload:
      is JSON with online true and the UTC time, QoS 1, retained`, () => {
    expect(world.states()).toMatchObject([{ qos: 1, retain: true }])
    expect(JSON.parse(world.states()[0]?.text ?? '')).toEqual({ online: true, timestamp: startOfTime })
  })

  it(title`
      tck-id-host-topic-phid-birth-payload-timestamp
      tck-id-message-flow-phid-sparkplug-state-publish-payload-timestamp:
      has the time of the will of its connection, also when it connects again`, async () => {
    expect(world.states()[0]?.timestamp).toBe(willState().timestamp)
    world.broker.drop(hostClient)
    await world.until('online again', () => world.states().length > 1)
    expect(willState().timestamp).toBeGreaterThan(startOfTime)
    expect(world.states()[1]?.timestamp).toBe(willState().timestamp)
  })

  it(title`
      tck-id-message-flow-hid-sparkplug-state-message-delivered:
      is said again at once when somebody says that the host is offline`, async () => {
    await say(false, startOfTime)
    await world.until('online again', () => world.states().length > 1)
    expect(world.states()[1]).toMatchObject({ online: true, timestamp: startOfTime, qos: 1, retain: true })
    expect(world.broker.connects(hostClient)).toHaveLength(1)
  })

  it(title`
      tck-id-operational-behavior-host-application-host-id:
      another host with the same id is found out: nothing is confirmed while it is there`, async () => {
    await say(true, startOfTime + 5)
    await world.until('the other one is seen', () => ingest.status().host.contested)
    const edge = await world.edge()
    edge.born()
    await world.pass(1_000)
    expect(ingest.edges()).toMatchObject([{ online: true, problem: 'another-gateway' }])
    expect(commands()).toEqual([])
  })
})

describe('the end of the host', () => {
  it(title`
      tck-id-operational-behavior-host-application-termination
      tck-id-operational-behavior-host-application-death-topic
      tck-id-operational-behavior-host-application-death-payload
      tck-id-operational-behavior-host-application-death-qos
      tck-id-operational-behavior-host-application-death-retained
      tck-id-operational-behavior-host-application-disconnect-intentional
      tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean:
      a clean stop says offline with the time of now, QoS 1, retained, and then DISCONNECT`, async () => {
    await world.pass(60_000)
    const before = world.world.time.now()
    await world.stop(ingest)
    const last = world.states().at(-1)
    expect(last).toMatchObject({ online: false, qos: 1, retain: true })
    expect(last?.timestamp).toBeGreaterThanOrEqual(before)
    expect(last?.timestamp).toBeLessThanOrEqual(world.world.time.now())
    expect(Object.keys(JSON.parse(last?.text ?? '{}')).toSorted()).toEqual(['online', 'timestamp'])
    expect(
      did()
        .slice(-3)
        .map(({ kind }) => kind),
    ).toEqual(['publish', 'disconnect', 'end'])
  })

  it(title`
      tck-id-intro-sparkplug-host-state
      tck-id-components-ph-state
      tck-id-conformance-primary-host:
      whoever subscribes to STATE hears it online, and offline when its connection is lost`, async () => {
    const heard: boolean[] = []
    const link = await world.broker.connector()({
      ...{ clientId: 'somebody', signal: new AbortController().signal },
      onMessage: (_, payload) => heard.push(JSON.parse(Buffer.from(payload).toString('utf8')).online),
      will: { topic: 'none', payload: new Uint8Array(), qos: 1, retain: false },
    })
    await link.subscribe([stateTopic], 1)
    await world.until('the retained STATE', () => heard.length === 1)
    world.broker.drop(hostClient)
    await world.until('the will, and online again', () => heard.length === 3)
    expect(heard).toEqual([true, false, true])
    await link.close()
  })
})

describe('commands of the host', () => {
  it(title`
      tck-id-topics-ncmd-topic
      tck-id-topics-ncmd-mqtt
      tck-id-topics-ncmd-timestamp
      tck-id-topics-ncmd-payload
      tck-id-payloads-ncmd-timestamp
      tck-id-payloads-ncmd-seq
      tck-id-payloads-ncmd-qos
      tck-id-payloads-ncmd-retain
      tck-id-payloads-name-cmd-requirement
      tck-id-operational-behavior-data-commands-ncmd-verb
      tck-id-operational-behavior-data-commands-ncmd-metric-name
      tck-id-operational-behavior-data-commands-ncmd-metric-value:
      a confirmation is an NCMD with one metric of the NBIRTH, by name, with time and without sequence number`, async () => {
    const edge = await world.edge()
    edge.born()
    await world.until('the hello', () => commands().length > 0)
    edge.batch(0)
    await world.until('the confirmation', () => commands().length > 1)
    const [nbirth] = world.broker.messages('edge-g1-e1', 'NBIRTH')
    for (const { topic, qos, retain, content } of commands()) {
      expect(topic).toBe('spBv1.0/g1/NCMD/e1')
      expect({ qos, retain }).toEqual({ qos: 0, retain: false })
      expect(content.seq).toBeUndefined()
      expect(content.timestamp).toBeGreaterThanOrEqual(startOfTime)
      expect(content.timestamp).toBeLessThanOrEqual(world.world.time.now())
      expect(content.metrics).toHaveLength(1)
      const [metric] = content.metrics
      const born = nbirth?.content.metrics.find(({ name }) => name === metric?.name)
      expect(metric).toMatchObject({ name: metricNames.confirm, timestamp: content.timestamp })
      expect(born).toMatchObject({ datatype: datatypeNumbers.String, wire: 'string' })
      expect(born?.alias).toBeUndefined()
      expect(metric && typeof typedValue(metric, 'String')).toBe('string')
    }
  })

  it(title`
      tck-id-operational-behavior-data-commands-ncmd-rebirth-verb
      tck-id-operational-behavior-data-commands-ncmd-rebirth-name
      tck-id-operational-behavior-data-commands-ncmd-rebirth-value:
      data before a birth is answered by an NCMD Node Control/Rebirth, true`, async () => {
    const edge = await world.edge()
    edge.batch(0)
    await world.until('the request', () => rebirths().length > 0)
    const [request] = rebirths()
    expect(request).toMatchObject({ topic: 'spBv1.0/g1/NCMD/e1', qos: 0, retain: false })
    expect(request?.content.metrics).toMatchObject([{ name: 'Node Control/Rebirth', value: true, wire: 'boolean' }])
  })

  it(title`
      tck-id-operational-behavior-host-reordering-start
      tck-id-operational-behavior-host-reordering-rebirth:
      a message that is missing for the reorder time-out leads to a rebirth, not sooner`, async () => {
    const edge = await world.edge()
    edge.born()
    await world.pass(100)
    edge.seq++
    edge.live(2)
    await world.pass(1_700)
    expect(rebirths()).toEqual([])
    await world.pass(300)
    await world.until('the request', () => rebirths().length > 0)
  })

  it(title`
      tck-id-operational-behavior-host-reordering-success:
      a message that comes late but within the time-out ends it`, async () => {
    const edge = await world.edge()
    edge.born()
    await world.pass(100)
    const { seq } = edge
    edge.seq = seq + 1
    edge.live(2)
    await world.pass(1_000)
    edge.seq = seq
    edge.live(1)
    edge.seq = seq + 2
    edge.live(3)
    await world.pass(30_000)
    expect(rebirths()).toEqual([])
    expect(world.world.live.get('plant/fm-1/flow', world.world.time.now())).toMatchObject({ value: 3 })
  })
})

it(title`
    tck-id-operational-behavior-host-reordering-param:
    the reorder time-out can be set`, async () => {
  await world.stop(ingest)
  await world.start({ reorderMs: 400 })
  const edge = await world.edge()
  edge.born()
  await world.pass(100)
  edge.seq++
  edge.live(2)
  const since = world.world.time.now()
  await world.pass(200)
  expect(rebirths()).toEqual([])
  await world.until('the request', () => rebirths().length > 0)
  expect(world.world.time.now() - since).toBeLessThan(1_500)
})

describe('what the host shows', () => {
  it(title`
      tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline
      tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale
      tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline
      tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale:
      upon NDEATH node, devices and all their metrics are offline, by the clock of the host`, async () => {
    const edge = await world.edge()
    const timestamp = startOfTime
    edge.nodeBirth({ metrics: [birthMetric('Double', 40, { name: 'temperature', timestamp })] })
    edge.deviceBirth()
    const shown = (tag: string) => world.world.live.get(tag, world.world.time.now())
    await world.until('online', () => shown('plant/fm-1/flow')?.quality === 'good')
    expect(shown('e1/node/temperature')).toMatchObject({ value: 40, quality: 'good' })
    await world.pass(60_000)
    const from = world.world.time.now()
    world.broker.drop('edge-g1-e1')
    await world.until('offline', () => !ingest.edges()[0]?.online)
    const [view] = ingest.edges()
    expect(view?.since).toBeGreaterThanOrEqual(from)
    expect(view?.devices).toMatchObject([{ device: 'plant:fm-1', online: false }])
    for (const tag of ['e1/node/temperature', 'plant/fm-1/flow', 'plant/fm-1/total', 'plant/fm-1/leak']) {
      expect(shown(tag), tag).toMatchObject({ value: null, quality: 'bad', reason: 'edge-offline' })
      expect(shown(tag)?.receivedAt, tag).toBe(view?.since)
    }
  })
})

it(title`
    tck-id-operational-behavior-host-application-multi-server-timestamp:
    at each of several servers birth and will agree, and the time at one does not disturb that of the other`, async () => {
  const second = await WatchedBroker.open()
  const both = await HostWorld.open(4, [second])
  try {
    await both.start()
    const at = (broker: WatchedBroker) => {
      const { will } = broker.connects(hostClient).at(-1) ?? {}
      const states = broker.publishes(hostClient).filter(({ topic }) => topic === stateTopic)
      const read = (bytes: Buffer | undefined) => JSON.parse(bytes?.toString('utf8') ?? '{}').timestamp
      return { will: read(will?.payload), birth: read(states.at(-1)?.payload), births: states.length }
    }
    const first = at(both.broker)
    expect(first.birth).toBe(first.will)
    both.broker.drop(hostClient)
    await both.until('online at the second', () => at(second).births > 0)
    expect(at(second).birth).toBe(at(second).will)
    expect(at(second).birth).toBeGreaterThan(first.birth)
    second.drop(hostClient)
    await both.until('back at the first', () => at(both.broker).births > 1)
    expect(at(both.broker).birth).toBe(at(both.broker).will)
  } finally {
    await both.close()
    await second.close()
  }
})

it(title`
    tck-id-message-flow-phid-sparkplug-clean-session-50:
    MQTT 5: clean start and session expiry 0`, async () => {
  const five = await HostWorld.open(5)
  try {
    await five.start()
    expect(five.broker.connects(hostClient)).toMatchObject([{ level: 5, clean: true, sessionExpiryS: 0 }])
  } finally {
    await five.close()
  }
})
