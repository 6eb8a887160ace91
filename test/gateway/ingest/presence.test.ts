import { metricNames } from '@penstock/core/delivery/wire.ts'
import { birthMetric, dataMetric } from '@penstock/core/sparkplug/values.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { World } from './harness.ts'

let world: World
beforeEach(() => {
  world = new World()
})
afterEach(() => world.close())

const flow = () => world.live.get('plant/fm-1/flow', world.time.now())

describe('edges and devices', () => {
  it('come and go as events of the inbox, with the tags concerned', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.deviceDeath()
    edge.deviceBirth()
    await world.time.advance(100)
    edge.nodeDeath()
    await world.time.advance(100)
    expect(world.consumer.events).toEqual([
      'online g1/e1',
      'device-online g1/e1 plant:fm-1',
      'device-offline g1/e1 plant:fm-1',
      'device-online g1/e1 plant:fm-1',
      'offline g1/e1',
    ])
    const tags = ['plant/fm-1/flow', 'plant/fm-1/total', 'plant/fm-1/leak']
    for (const { entry } of world.consumer.applied) {
      if (entry.kind === 'edge' && entry.event !== 'online') expect(entry.tags).toEqual(tags)
    }
  })

  it('tck-id-operational-behavior-edge-node-termination-host-action-ndeath-*: everything of a dead edge is bad', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(100)
    expect(flow()).toMatchObject({ quality: 'good' })
    edge.nodeDeath()
    await world.time.advance(10)
    expect(flow()).toMatchObject({ value: null, quality: 'bad', reason: 'edge-offline', lastGood: { value: 1 } })
    expect(gateway.edges()[0]).toMatchObject({
      online: false,
      devices: [{ device: 'plant:fm-1', site: 'plant', online: false }],
    })
  })

  it('say when an edge belongs to another ledger: it keeps its data, whatever is confirmed', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    const pinned = (ledger: string) => {
      const metrics = [birthMetric('String', ledger, { name: metricNames.ledger, timestamp: world.time.now() })]
      edge.nodeBirth({ metrics })
      edge.deviceBirth()
      return world.time.advance(100)
    }
    await pinned('')
    expect(gateway.edges()[0]).toMatchObject({ online: true, problem: null })
    await pinned('6f1c1b1e-0000-4000-8000-00000000000f')
    expect(gateway.edges()[0]).toMatchObject({ online: true, problem: 'not-obeyed' })
    await pinned(gateway.status().host.ledger)
    expect(gateway.edges()[0]).toMatchObject({ online: true, problem: null })
  })

  it('tck-id-operational-behavior-device-ddeath: everything of a dead device is bad', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.deviceBirth('fm-2', 11)
    edge.deviceDeath()
    await world.time.advance(10)
    expect(flow()).toMatchObject({ value: null, quality: 'bad', reason: 'device-offline' })
    expect(world.live.get('plant/fm-2/flow', world.time.now())).toMatchObject({ quality: 'good' })
  })

  it('a device that is missing after a rebirth is offline after 5 s', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.deviceBirth('fm-2', 11)
    await world.time.advance(100)
    edge.nodeBirth()
    edge.deviceBirth('fm-2', 11)
    await world.time.advance(4_000)
    expect(flow()).toMatchObject({ quality: 'good' })
    await world.time.advance(2_000)
    expect(flow()).toMatchObject({ reason: 'device-offline' })
    expect(world.consumer.events.at(-1)).toBe('device-offline g1/e1 plant:fm-1')
  })

  it('asks for a rebirth when a dead device sends data', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.deviceDeath()
    edge.live(1)
    await world.time.advance(10)
    expect(edge.rebirths).toBe(1)
  })

  it('shows backlog, lag, skew and losses of an edge', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.end = { alarm: 0, total: 0, raw: 9 }
    edge.born()
    edge.batch(3, { from: 3 })
    await world.time.advance(100)
    expect(gateway.edges()[0]).toMatchObject({ backlog: { alarm: 0, total: 0, raw: 9 } })
    edge.batch(7, { from: 0 })
    await world.time.advance(1_000)
    expect(gateway.edges()[0]).toMatchObject({ backlog: { raw: 1 }, lostBatches: 7, lagMs: 0, skewMs: 0 })
  })

  it('measures the skew of an edge as the median of its live messages', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge({ now: () => world.time.now() - 6_000 })
    edge.born()
    for (let value = 0; value < 10; value++) edge.live(value)
    edge.batch(0)
    await world.time.advance(1_000)
    expect(gateway.edges()[0]?.skewMs).toBe(6_000)
    expect(world.consumer.batches).toMatchObject([{ skewMs: 6_000, live: true }])
    expect(flow()).toMatchObject({ value: 0, quality: 'good' })
  })

  it('keeps the diagnosis of a device, and refuses one that makes no sense', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    const diagnosis = {
      address: 'modbus tcp 127.0.0.1:502 unit 1',
      state: 'failing',
      since: 5,
      lastRequest: { at: 1, what: 'read 0-9', hex: '00 01' },
      lastAnswer: null,
      lastError: { at: 2, reason: 'timeout', text: 'no answer' },
      nextTryAt: null,
      counters: { requests: 5 },
    }
    const say = (text: string) =>
      edge.send(edge.topic('DDATA', 'fm-1'), [
        dataMetric('String', text, { name: metricNames.diagnostics, timestamp: 1 }),
      ])
    say(JSON.stringify(diagnosis))
    say('{"state": 3}')
    say('not JSON')
    await world.time.advance(10)
    expect(world.live.diagnosis('g1/e1', 'plant:fm-1')).toEqual(diagnosis)
    expect(gateway.status().counters.malformed).toBe(2)
    expect(world.consumer.batches).toEqual([])
  })

  it('shows a tag that left the configuration as retired', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(10)
    edge.nodeBirth()
    edge.send(edge.topic('DBIRTH', 'fm-1'), [birthMetric('Double', 3, { name: 'flow', alias: 1, timestamp: 1 })])
    await world.time.advance(10)
    expect(flow()).toMatchObject({ value: 3 })
    expect(world.live.get('plant/fm-1/leak', world.time.now())).toMatchObject({ value: null, reason: 'retired' })
  })

  it('takes the backlog of a retyped tag under its old type', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.nodeBirth()
    edge.send(edge.topic('DBIRTH', 'fm-1'), [
      birthMetric('Double', 3, { name: 'flow', alias: 2, timestamp: 1 }),
      birthMetric('Int32', null, { name: 'flow~r1', alias: 1, timestamp: 1 }),
    ])
    edge.batch(0, { value: 17 })
    await world.time.advance(1_000)
    expect(world.consumer.batches[0]?.readings).toMatchObject([
      { tag: 'plant/fm-1/flow', type: 'Int32', quality: 'bad', reason: 'protocol' },
    ])
    expect(flow()).toMatchObject({ type: 'Double', value: 3 })
  })
})

describe('foreign nodes without the delivery protocol', () => {
  const foreign = async () => {
    const edge = await world.edge({ delivery: false, hardwareId: null })
    edge.nodeBirth({ metrics: [birthMetric('Float', 20.5, { name: 'Inputs/Temp 1', alias: 100, timestamp: 5 })] })
    edge.deviceBirth('pump', 1, 8)
    return edge
  }

  it('count by births and data, by key, and are never confirmed', async () => {
    await world.gateway()
    const edge = await foreign()
    edge.live(9, { device: 'pump' })
    edge.live(10, { device: 'pump', historical: true, timestamp: 3 })
    await world.time.advance(40_000)
    expect(edge.commands).toEqual([])
    expect(
      world.consumer.batches.map(({ epoch, live, readings }) => [
        epoch,
        live,
        readings.map(({ tag, value }) => `${tag}=${value}`),
      ]),
    ).toEqual([
      ['', true, ['e1/node/Inputs_Temp_1=20.5']],
      ['', true, ['plant/pump/flow=8', 'plant/pump/total=8', 'plant/pump/leak=false']],
      ['', true, ['plant/pump/flow=9']],
      ['', false, ['plant/pump/flow=10']],
    ])
    expect(world.live.get('plant/pump/flow', world.time.now())).toMatchObject({ value: 9, scanMs: null })
  })

  it('do not count while nobody registered them', async () => {
    world.registry.edges.clear()
    await world.gateway()
    const edge = await foreign()
    edge.live(9, { device: 'pump' })
    await world.time.advance(1_000)
    expect(world.consumer.applied).toEqual([])
    expect(world.live.get('plant/pump/flow', world.time.now())).toMatchObject({ value: 9 })
  })
})
