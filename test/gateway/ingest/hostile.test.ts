import { batchUuid, encodeBatchHead } from '@penstock/core/delivery/wire.ts'
import type { Link } from '@penstock/core/runtime/link.ts'
import { encodePayload } from '@penstock/core/sparkplug/codec.ts'
import { birthMetric, dataMetric } from '@penstock/core/sparkplug/values.ts'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { World } from './harness.ts'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 40)

let world: World
let link: Link
beforeEach(async () => {
  world = new World()
  await world.gateway()
  const connecting = world.network.connect({
    clientId: 'hostile',
    will: { topic: 'nothing', payload: new Uint8Array(), qos: 1, retain: false },
    onMessage: () => {},
    signal: new AbortController().signal,
  })
  await world.time.advance(1)
  link = await connecting
})
afterEach(() => world.close())

const publish = (topic: string, payload: Uint8Array, retain = false) => link.publish(topic, payload, { qos: 0, retain })
const status = () => world.opened[0]?.status()

/** A registered edge next door still gets through. */
async function stillWorks(): Promise<void> {
  const edge = await world.edge({ clientId: 'good' })
  edge.born()
  edge.batch(0)
  await world.time.advance(1_000)
  expect(edge.confirms.at(-1)).toMatchObject({ session: edge.session, next: { raw: 1 } })
}

describe('hostile messages', () => {
  it('of wrong topics, other groups and garbage are counted and do no harm', async () => {
    for (const topic of [
      'spBv1.0/g1',
      'spBv1.0/g1/NBIRTH',
      'spBv1.0/g1/XBIRTH/e1',
      'spBv1.0/g1/NBIRTH/e1/d/more',
      'spBv1.0/g1/DDATA/e1',
    ]) {
      publish(topic, Uint8Array.of(1))
    }
    publish('spBv1.0/STATE/penstock', new TextEncoder().encode('OFFLINE'))
    publish('spBv1.0/g1/NBIRTH/e1', Uint8Array.of(1, 2, 3))
    publish('spBv1.0/g1/NBIRTH/e1', new Uint8Array())
    publish('spBv1.0/g1/NDATA/e1', encodePayload({ timestamp: 1, metrics: [] }))
    await world.time.advance(100)
    expect(status()?.counters).toMatchObject({ strayMessages: 6, malformed: 2, births: 1 })
    await stillWorks()
  })

  it('a birth that the broker kept is no birth: nobody knows how old it is', async () => {
    publish('spBv1.0/g1/NBIRTH/e2', encodePayload({ timestamp: 1, seq: 0, metrics: [] }), true)
    await world.time.advance(100)
    world.network.crash({ keepRetained: true })
    world.network.restart()
    await world.time.advance(60_000)
    expect(status()).toMatchObject({ host: { online: true }, counters: { births: 1, strayMessages: 1 } })
    expect(world.opened[0]?.edges()).toMatchObject([{ edge: 'g1/e2', online: false }])
  })

  it('a birth whose delivery metrics make no sense is no birth', async () => {
    const metrics = [
      birthMetric('Int32', 1, { name: 'Delivery/Version' }),
      birthMetric('Int64', -5n, { name: 'Delivery/Session' }),
    ]
    publish('spBv1.0/g1/NBIRTH/e1', encodePayload({ timestamp: 1, seq: 0, metrics }))
    await world.time.advance(100)
    expect(status()?.counters).toMatchObject({ malformed: 1, births: 0 })
    await stillWorks()
  })

  it('a batch with a broken head, a foreign alias, a value of another type', async () => {
    const edge = await world.edge()
    edge.born()
    edge.deviceBirth('fm-2', 11)
    const topic = edge.topic('DDATA', 'fm-1')
    edge.send(topic, [dataMetric('Double', 1, { alias: 1 })], Uint8Array.of(255, 255))
    edge.send(
      topic,
      [dataMetric('Double', 1, { alias: 1 })],
      encodeBatchHead({ session: edge.session, class: 'raw', from: 3, pos: 1, crc: 1 }),
    )
    edge.send(
      topic,
      [dataMetric('Double', 1, { alias: 12 })],
      encodeBatchHead({ session: edge.session, class: 'raw', from: 0, pos: 0, crc: 1 }),
    )
    await world.time.advance(1_000)
    expect(world.consumer.batches).toEqual([])
    edge.send(
      topic,
      [
        dataMetric('String', 'seven', { alias: 1, timestamp: 9 }),
        dataMetric('Double', Number.NaN, { alias: 1, timestamp: 9 }),
      ],
      encodeBatchHead({ session: edge.session, class: 'raw', from: 0, pos: 0, crc: 1 }),
    )
    await world.time.advance(1_000)
    expect(world.consumer.batches[0]?.readings).toMatchObject([
      { value: null, quality: 'bad', reason: 'protocol' },
      { value: null, quality: 'bad', reason: 'not-a-number' },
    ])
  })

  it('positions at the end of the numbers', async () => {
    const edge = await world.edge()
    edge.born()
    edge.batch(Number.MAX_SAFE_INTEGER - 1, { from: 0, value: 1 })
    edge.batch(Number.MAX_SAFE_INTEGER, { value: 2 })
    await world.time.advance(1_000)
    await world.close()
    world.opened.length = 0
    await world.gateway()
    expect(status()?.inbox.state).toBe('ok')
  })

  it('a flood of unknown edges is bounded', async () => {
    for (let n = 0; n < 1_500; n++)
      publish(`spBv1.0/g1/NBIRTH/x${n}`, encodePayload({ timestamp: 1, seq: 0, metrics: [] }))
    await world.time.advance(100)
    expect(world.opened[0]?.edges().length).toBe(1_000)
    await stillWorks()
  })

  it('a stamp of the year 275760, and one of 1970, are stored and shown', async () => {
    const edge = await world.edge()
    edge.born()
    const head = (pos: number) => encodeBatchHead({ session: edge.session, class: 'raw', from: pos, pos, crc: 1 })
    edge.send(edge.topic('DDATA', 'fm-1'), [dataMetric('Double', 1, { alias: 1, timestamp: 8.64e15 })], head(0))
    edge.send(edge.topic('DDATA', 'fm-1'), [dataMetric('Double', 2, { alias: 1, timestamp: 0 })], head(1))
    await world.time.advance(1_000)
    expect(
      world.consumer.batches.flatMap(({ readings }) => readings.map(({ sourceTimestamp }) => sourceTimestamp)),
    ).toEqual([8.64e15, 0])
    expect(world.live.get('plant/fm-1/flow', world.time.now())?.value).toBe(2)
  })

  it(`whatever bytes come, in whatever order, the gateway goes on (${numRuns} runs)`, async () => {
    const verb = fc.constantFrom(
      'NBIRTH',
      'NDEATH',
      'NDATA',
      'DBIRTH/plant:fm-1',
      'DDEATH/plant:fm-1',
      'DDATA/plant:fm-1',
    )
    const topic = fc.record({ verb, edge: fc.constantFrom('e1', 'e2') }).map(({ verb, edge }) => {
      const [name, device] = verb.split('/')
      return `spBv1.0/g1/${name}/${edge}${device ? `/${device}` : ''}`
    })
    const metric = fc
      .record(
        {
          name: fc.constantFrom(
            'bdSeq',
            'flow',
            'Delivery/Version',
            'Delivery/Epoch',
            'Delivery/Session',
            'Delivery/Loss',
            'Delivery/raw/End',
            'Properties/Diagnostics',
            'x~r1',
            '',
          ),
          alias: fc.nat(5),
          timestamp: fc.maxSafeNat(),
          isNull: fc.boolean(),
          isHistorical: fc.boolean(),
          datatype: fc.nat(40),
        },
        { requiredKeys: [] },
      )
      .chain(fields =>
        fc
          .oneof(
            fc.record({ wire: fc.constant('long' as const), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
            fc.record({ wire: fc.constant('int' as const), value: fc.nat() }),
            fc.record({ wire: fc.constant('double' as const), value: fc.double() }),
            fc.record({ wire: fc.constant('string' as const), value: fc.oneof(fc.string(), fc.json()) }),
            fc.record({ wire: fc.constant('boolean' as const), value: fc.boolean() }),
            fc.record({ wire: fc.constant('bytes' as const), value: fc.uint8Array() }),
          )
          .map(value => ({ ...fields, ...value })),
      )
    const head = fc
      .record({
        session: fc.nat(3),
        class: fc.constantFrom('alarm' as const, 'total' as const, 'raw' as const),
        from: fc.nat(9),
        pos: fc.nat(9),
        crc: fc.nat(),
      })
      .map(encodeBatchHead)
    const payload = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .record(
          {
            metrics: fc.array(metric, { maxLength: 6 }),
            timestamp: fc.maxSafeNat(),
            seq: fc.nat(300),
            uuid: fc.constantFrom(batchUuid, 'other'),
            body: fc.oneof(head, fc.uint8Array({ maxLength: 30 })),
          },
          { requiredKeys: ['metrics'] },
        )
        .map(encodePayload),
    )
    const message = fc.record({ topic, payload, flip: fc.option(fc.nat()), cut: fc.option(fc.nat()) })
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 80 }), async messages => {
        for (const { topic, payload, flip, cut } of messages) {
          const bytes = Uint8Array.from(cut === null ? payload : payload.subarray(0, cut % (payload.length + 1)))
          if (flip !== null && bytes.length > 0)
            bytes[flip % bytes.length] = (bytes[flip % bytes.length] ?? 0) ^ (1 << (flip % 8))
          publish(topic, bytes)
        }
        await world.time.advance(3_000)
        expect(status()).toMatchObject({ host: { online: true }, inbox: { state: 'ok' } })
      }),
      { numRuns },
    )
    expect(status()?.counters.unexpected).toBe(0)
    await world.time.advance(600_000)
    await stillWorks()
  })
})
