import { formatAlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import { deviceTopic, nodeTopic } from '@penstock/core/sparkplug/topics.ts'
import { birthMetric } from '@penstock/core/sparkplug/values.ts'
import { describe, expect, test } from 'vitest'
import { noFaults } from '../../support/network.ts'
import {
  deliveryClasses,
  device,
  edge,
  group,
  host,
  metricNames,
  readDescription,
  readQuality,
  type Seen,
  startMs,
  tag,
  World,
  type WorldOptions,
} from './world.ts'

/** An edge that is connected, born and confirmed. */
async function delivering(options: WorldOptions = {}): Promise<World> {
  const world = new World(options)
  await world.hostOnline()
  await world.start()
  await world.time.advance(1_000)
  return world
}

const bdSeqOf = (world: World, seen: Seen | undefined): number => Number(world.metric(seen, 'bdSeq')?.value)

test('a reading goes from the report to the confirmation and is forgotten', async () => {
  const world = await delivering()
  const durable = world.report('flow', 12.5)
  await world.time.advance(1_000)
  await durable
  const [batch] = world.batches('raw')
  expect(batch?.head).toMatchObject({ class: 'raw', from: 0, pos: 0, session: world.session })
  expect(batch?.device).toBe('plant:fm-1')
  expect(batch?.payload.metrics[0]).toMatchObject({ value: 12.5 })
  expect(world.uplink?.status().classes.raw).toMatchObject({ backlog: 0, appended: 1, lost: 0 })
  expect(deliveryClasses.map(name => world.next[name])).toEqual([0, 0, 1])
})

describe('rule 2: births', () => {
  test('tck-id-message-flow-edge-node-birth-publish-phid-wait, -id, -online: nothing before the own host is online', async () => {
    const world = new World()
    await world.start()
    void world.report('flow', 1)
    await world.time.advance(5_000)
    expect(world.seen).toEqual([])
    await world.hostOnline()
    await world.time.advance(2_001)
    expect(world.of('NBIRTH')).toHaveLength(1)
  })

  test('tck-id-message-flow-edge-node-birth-publish-phid-wait: offline and STATE of another host do not count', async () => {
    const world = new World()
    await world.hostOnline()
    world.state(false)
    world.hostLink?.publish('spBv1.0/STATE/other', new TextEncoder().encode('{"online":true,"timestamp":99}'), {
      qos: 1,
      retain: true,
    })
    await world.start()
    await world.time.advance(10_000)
    expect(world.seen).toEqual([])
    expect(world.network.clients).toContain(`${group}.${edge}`)
    expect(world.uplink?.status().problem).toBe('host-offline')
  })

  test('tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp: an older online is not believed', async () => {
    const world = new World()
    await world.hostOnline()
    world.state(false, startMs + 10_000)
    await world.start()
    await world.time.advance(100)
    world.state(true, startMs + 5_000)
    await world.time.advance(5_000)
    expect(world.of('NBIRTH')).toHaveLength(0)
    world.state(true, startMs + 10_000)
    await world.time.advance(2_001)
    expect(world.of('NBIRTH')).toHaveLength(1)
  })

  test('a retained STATE from the future does not lock the edge out for ever: it sets the reference of one connection', async () => {
    const world = new World()
    await world.hostOnline()
    world.state(true, Date.UTC(2037, 0, 1))
    await world.start()
    await world.time.advance(1_000)
    expect(world.of('NBIRTH')).toHaveLength(1)
    // the host's clock was put right; it restarts, and the broker keeps the right STATE
    world.hostLink?.publish(
      `spBv1.0/STATE/${host}`,
      new TextEncoder().encode(`{"online":true,"timestamp":${startMs}}`),
      {
        qos: 1,
        retain: true,
      },
    )
    world.network.kill(`${group}.${edge}`)
    await world.time.advance(3_000)
    expect(world.of('NBIRTH')).toHaveLength(2)
  })

  test('tck-id-topics-nbirth-mqtt, -seq-num, tck-id-topics-dbirth-mqtt, tck-id-payloads-sequence-num-incrementing', async () => {
    const world = await delivering({ devices: [device('a', [tag('x')]), device('b', [tag('x')])] })
    void world.report('x', 1, { device: 'plant:a' })
    await world.time.advance(1_000)
    expect(
      world.seen.map(({ verb, device, payload, qos, retain }) => [verb, device, payload.seq, qos, retain]),
    ).toEqual([
      ['NBIRTH', null, 0, 0, false],
      ['DBIRTH', 'plant:a', 1, 0, false],
      ['DBIRTH', 'plant:b', 2, 0, false],
      ['DDATA', 'plant:a', 3, 0, false],
    ])
  })

  test('tck-id-payloads-sequence-num-always-included: seq goes from 255 to 0', async () => {
    const world = await delivering()
    for (let round = 0; round < 300; round++) {
      void world.report('leak', round % 2 === 0)
      await world.time.advance(10)
    }
    await world.time.advance(1_000)
    const numbers = world.seen.map(({ payload }) => payload.seq)
    expect(numbers).toEqual(numbers.map((_, index) => index % 256))
    expect(numbers.length).toBeGreaterThan(290)
  })

  test('tck-id-topics-nbirth-metric-reqs, tck-id-operational-behavior-data-commands-rebirth-name-aliases: names without alias', async () => {
    const world = await delivering()
    const [birth] = world.of('NBIRTH')
    expect(birth?.payload.metrics.map(({ name, alias }) => [name, alias])).toEqual(
      [
        ...['bdSeq', 'Node Control/Rebirth', 'Node Control/Delivery Confirm', 'Node Control/Alarm Limits'],
        ...['Delivery/Version', 'Delivery/Epoch', 'Delivery/Session'],
        ...deliveryClasses.flatMap(name => [`Delivery/${name}/First`, `Delivery/${name}/End`]),
        ...['Delivery/Loss', 'Properties/Hardware Id', 'Properties/Software', 'Properties/Ledger'],
        ...['Properties/Alarm Limits Hash', 'Properties/Clock Synchronised'],
      ].map(name => [name, undefined]),
    )
    expect(world.metric(birth, metricNames.rebirth)?.value).toBe(false)
    expect(world.metric(birth, metricNames.version)?.value).toBe(1)
    expect(world.metric(birth, metricNames.hardwareId)?.value).toBe('box-1')
    // pinned by the first confirmation: a gateway with another ledger learns from the next birth why it is not obeyed
    expect(world.metric(birth, metricNames.ledger)?.value).toBe('')
    world.command([birthMetric('Boolean', true, { name: metricNames.rebirth, timestamp: world.time.now() })])
    await world.time.advance(1_000)
    expect(world.metric(world.of('NBIRTH').at(-1), metricNames.ledger)?.value).toBe(world.ledger)
  })

  test('tck-id-payloads-name-birth-data-requirement: each metric of a birth has a name, a type and a time', async () => {
    const world = await delivering()
    for (const { payload } of [...world.of('NBIRTH'), ...world.of('DBIRTH')]) {
      expect(payload.timestamp).toBeGreaterThan(0)
      for (const metric of payload.metrics) {
        expect(metric.name).toBeTruthy()
        expect(metric.datatype).toBeGreaterThan(0)
        expect(metric.timestamp).toBeGreaterThan(0)
      }
    }
  })

  test('tck-id-topics-dbirth-metric-reqs: what a birth says of a tag can be read back; not read yet is bad with a reason', async () => {
    const world = await delivering()
    const [birth] = world.of('DBIRTH')
    const total = world.metric(birth, 'total')
    expect(readDescription('total', 'Int64', total?.properties)).toEqual(world.source.devices[0]?.tags[1])
    expect(total && readQuality(total)).toEqual({ quality: 'bad', reason: 'not-read' })
    expect(total?.isNull).toBe(true)
    expect(world.metric(birth, metricNames.diagnostics)?.value).toContain('modbus tcp')
    const aliases = birth?.payload.metrics.flatMap(({ alias }) => alias ?? [])
    expect(new Set(aliases).size).toBe(3)
  })

  test('tck-id-topics-nbirth-bdseq-matching, -increment, tck-id-payloads-ndeath-bdseq: over connections, restarts and 255', async () => {
    const world = await delivering()
    const wills: number[] = []
    for (let round = 0; round < 258; round++) {
      world.forget()
      world.network.kill(`${group}.${edge}`)
      const [will] = world.of('NDEATH')
      wills.push(bdSeqOf(world, will))
      expect(will?.payload.seq).toBeUndefined()
      expect(will?.payload.metrics.map(metric => metric.name)).toEqual(['bdSeq'])
      expect(will?.qos).toBe(1)
      expect(will?.retain).toBe(false)
      if (round % 50 === 0) {
        await world.uplink?.close()
        await world.start()
      }
      for (let waited = 0; world.of('NBIRTH').length === 0 && waited < 70; waited++) await world.time.advance(1_000)
      const [birth] = world.of('NBIRTH')
      expect(bdSeqOf(world, birth)).toBe((Number(wills.at(-1)) + 1) % 256)
    }
    expect(wills[0]).toBe(0)
    expect(wills).toContain(255)
  })

  test('a power cut does not bring an old bdSeq back', async () => {
    const world = await delivering()
    const before = bdSeqOf(world, world.of('NBIRTH')[0])
    world.crash()
    world.forget()
    await world.start()
    await world.time.advance(2_000)
    expect(bdSeqOf(world, world.of('NBIRTH')[0])).toBe(before + 1)
  })

  test('births wait up to 2 s when the host has just come up, and not at all when it was there', async () => {
    const world = new World()
    await world.start()
    await world.time.advance(1_000)
    await world.hostOnline()
    const online = world.time.now()
    await world.time.advance(2_001)
    const [late] = world.of('NBIRTH')
    expect((late?.at ?? 0) - online).toBeGreaterThan(0)
    expect((late?.at ?? 0) - online).toBeLessThanOrEqual(2_000)
    const prompt = await delivering()
    expect((prompt.of('NBIRTH')[0]?.at ?? 0) - startMs).toBeLessThan(100)
  })
})

describe('rule 3 and 4: hello', () => {
  test('before the hello values go as live copies only, and the gateway is told every 10 s what there is', async () => {
    const world = new World()
    world.hello = false
    await world.hostOnline()
    await world.start()
    await world.time.advance(100)
    for (let second = 0; second < 25; second++) {
      void world.report('flow', second)
      await world.time.advance(1_000)
    }
    expect(world.batches()).toEqual([])
    expect(world.liveCopies().length).toBeGreaterThanOrEqual(20)
    expect(world.liveCopies().length).toBeLessThanOrEqual(26)
    const ends = world.of('NDATA')
    expect(ends).toHaveLength(2)
    expect(Number(world.metric(ends[1], 'Delivery/raw/End')?.value)).toBe(20)
    world.confirm()
    await world.time.advance(1_000)
    expect(world.batches('raw').map(({ head }) => head?.pos)).toEqual(Array.from({ length: 25 }, (_, index) => index))
  })

  test('after 60 s without confirmation the edge says who does not confirm and why that may be', async () => {
    const world = new World()
    world.hello = false
    await world.hostOnline()
    await world.start()
    await world.time.advance(59_000)
    expect(world.uplink?.status().problem).toBeNull()
    await world.time.advance(2_000)
    const status = world.uplink?.status()
    expect(status?.problem).toBe('nothing-confirmed')
    expect(status?.text).toContain(
      `connected, host online, nothing confirmed: does the broker's ACL let e01 write spBv1.0/${group}/+/${edge}/#`,
    )
    world.confirm()
    await world.time.advance(100)
    expect(world.uplink?.status().problem).toBeNull()
  })

  test.each([
    ['another host', { host: 'other' }],
    ['another epoch', { epoch: '1' }],
    ['another session', { session: 1 }],
  ])('a confirmation of %s is ignored', async (_, wrong) => {
    const world = new World()
    world.hello = false
    await world.hostOnline()
    await world.start()
    await world.time.advance(100)
    await world.report('leak', true)
    world.confirm({ ...wrong, next: { alarm: 1, total: 0, raw: 0 } })
    await world.time.advance(1_000)
    expect(world.batches()).toEqual([])
    expect(world.uplink?.status()).toMatchObject({ ledger: null, classes: { alarm: { backlog: 1 } } })
    expect(world.uplink?.status().counters.ignoredConfirmations).toBe(1)
  })

  test('the first ledger is pinned for good; another one is an alarm and deletes nothing', async () => {
    const world = await delivering()
    const pinned = world.ledger
    expect(world.uplink?.status().ledger).toBe(pinned)
    world.crash()
    await world.start()
    await world.time.advance(3_000)
    world.confirming = false
    await world.report('leak', true)
    await world.time.advance(100)
    world.ledger = '6f1c1b1e-0000-4000-8000-000000000002'
    world.confirm({ next: { alarm: 1, total: 0, raw: 0 } })
    await world.time.advance(100)
    const status = world.uplink?.status()
    expect(status).toMatchObject({ ledger: pinned, problem: 'other-ledger', classes: { alarm: { backlog: 1 } } })
    expect(status?.text).toContain('a second gateway confirms')
    world.ledger = pinned
    world.confirm({ next: { alarm: 1, total: 0, raw: 0 } })
    await world.time.advance(120_001)
    world.confirm()
    await world.time.advance(100)
    expect(world.uplink?.status()).toMatchObject({ problem: null, classes: { alarm: { backlog: 0 } } })
  })

  test('a ledger from the site file is the only one from the start', async () => {
    const world = await delivering({ uplink: { ledger: '6f1c1b1e-0000-4000-8000-00000000000f' } })
    await world.report('leak', true)
    await world.time.advance(1_000)
    expect(world.batches()).toEqual([])
    expect(world.uplink?.status().problem).toBe('other-ledger')
  })

  test('commands that make no sense change nothing', async () => {
    const world = await delivering()
    world.confirming = false
    await world.report('leak', true)
    const timestamp = world.time.now()
    for (const text of ['', '{}', '[]', 'x', '{"v":2}', '{"v":1,"host":"penstock"}']) {
      world.command([birthMetric('String', text, { name: metricNames.confirm, timestamp })])
    }
    world.command([birthMetric('Boolean', false, { name: metricNames.rebirth, timestamp })])
    world.command([birthMetric('Boolean', true, { name: 'Node Control/Reboot', timestamp })])
    world.hostLink?.publish(nodeTopic(group, 'NCMD', edge), new Uint8Array([255, 255, 255]), { qos: 0, retain: false })
    world.hostLink?.publish(deviceTopic(group, 'DCMD', edge, 'plant:fm-1'), new Uint8Array([1]), {
      qos: 0,
      retain: false,
    })
    await world.time.advance(1_000)
    expect(world.of('NBIRTH')).toHaveLength(1)
    expect(world.uplink?.status().classes.alarm.backlog).toBe(1)
  })
})

describe('rule 6: order and windows on the wire', () => {
  test('classes go alarm before total before raw', async () => {
    const world = new World()
    world.hello = false
    await world.hostOnline()
    await world.start()
    await world.time.advance(100)
    void world.report('flow', 1)
    void world.report('total', 5n)
    void world.report('leak', true)
    await world.time.advance(1_000)
    world.confirm()
    await world.time.advance(1_000)
    expect(world.batches().map(({ head }) => head?.class)).toEqual(['alarm', 'total', 'raw'])
  })

  test('no more than 32 batches wait; a lost confirmation only delays', async () => {
    const world = await delivering()
    world.confirming = false
    for (let index = 0; index < 50; index++) void world.report('leak', index % 2 === 0)
    await world.time.advance(1_000)
    expect(world.batches('alarm')).toHaveLength(32)
    world.confirming = true
    await world.time.advance(20_000)
    expect(world.next.alarm).toBe(50)
    expect(world.uplink?.status().counters.timeouts).toBeGreaterThan(0)
    expect(world.committed.map(({ pos }) => pos)).toEqual(Array.from({ length: 50 }, (_, index) => index))
  })

  test('loss, repetition and reordering on the way: everything once, in order', async () => {
    const world = await delivering({ seed: 7 })
    world.network.faults = { ...noFaults, loss: 0.2, repeat: 0.2, late: 0.2, lateMs: 500, delayMs: 50 }
    for (let index = 0; index < 200; index++) {
      void world.report('leak', index % 2 === 0)
      await world.time.advance(50)
    }
    world.network.faults = { ...world.network.faults, loss: 0 }
    await world.time.advance(100_000)
    expect(world.next.alarm).toBe(200)
    expect(world.committed.map(({ pos, from }) => [from, pos])).toEqual(
      Array.from({ length: 200 }, (_, index) => [index, index]),
    )
  })

  test('F17 of a device: its bad readings go first, then DDEATH; values again begin with a DBIRTH (tck-id-operational-behavior-device-ddeath)', async () => {
    const world = await delivering()
    world.forget()
    void world.report('flow', null)
    world.source.offline.add('plant:fm-1')
    world.uplink?.deviceState('plant:fm-1', false)
    expect(world.of('DDEATH')).toEqual([])
    await world.time.advance(1_000)
    expect(world.seen.map(({ verb, head }) => [verb, head?.class])).toEqual([
      ['DDATA', 'raw'],
      ['DDATA', undefined],
      ['DDEATH', undefined],
    ])
    const [bad] = world.batches('raw')
    expect(bad?.payload.metrics.map(metric => readQuality(metric))).toEqual([{ quality: 'bad', reason: 'timeout' }])
    world.forget()
    world.source.offline.clear()
    world.uplink?.deviceState('plant:fm-1', true)
    void world.report('flow', 3)
    await world.time.advance(1_000)
    expect(world.seen.map(({ verb }) => verb)).toEqual(['DBIRTH', 'DDATA'])
  })

  test('pending batches of a dead device: DBIRTH with null values before, DDEATH again after the last', async () => {
    const world = new World()
    world.hello = false
    await world.hostOnline()
    await world.start()
    await world.time.advance(100)
    void world.report('leak', true)
    world.source.offline.add('plant:fm-1')
    world.uplink?.deviceState('plant:fm-1', false)
    await world.time.advance(11_000)
    expect(world.of('DDEATH')).toHaveLength(1)
    world.forget()
    world.confirm()
    await world.time.advance(1_000)
    expect(world.seen.map(({ verb, head }) => [verb, head?.pos])).toEqual([
      ['DBIRTH', undefined],
      ['DDATA', 0],
      ['DDATA', undefined],
      ['DDEATH', undefined],
    ])
    expect(world.metric(world.of('DBIRTH')[0], 'leak')?.isNull).toBe(true)
  })
})

describe('rule 10: live copies and is_historical', () => {
  test('a backlog: newest values go ahead at most once a second, and what they overtook comes as history', async () => {
    const world = new World()
    await world.hostOnline()
    await world.start()
    await world.time.advance(500)
    world.confirming = false
    for (let index = 0; index < 100; index++) {
      void world.report('flow', index)
      await world.time.advance(200)
    }
    const copies = world.liveCopies()
    expect(copies.length).toBeGreaterThan(10)
    for (const [index, copy] of copies.entries()) {
      expect(copy.payload.metrics.every(metric => metric.isHistorical === undefined)).toBe(true)
      if (index > 0) expect(copy.at - (copies[index - 1]?.at ?? 0)).toBeGreaterThanOrEqual(1_000)
    }
    world.confirming = true
    await world.time.advance(60_000)
    expect(world.next.raw).toBe(100)
    const last = world.batches('raw').at(-1)
    const earlier = world.batches('raw').filter(({ head }) => head && head.pos > 40 && head.pos < 90)
    expect(earlier.length).toBeGreaterThan(0)
    expect(earlier.every(({ payload }) => payload.metrics.every(metric => metric.isHistorical === true))).toBe(true)
    expect(last?.payload.metrics[0]?.isHistorical).toBeUndefined()
  })

  test('a reading that the birth already showed is not history; one that is older than the birth is', async () => {
    const world = new World()
    await world.start()
    void world.report('leak', true)
    await world.time.advance(1_000)
    void world.report('leak', false)
    await world.time.advance(1_000)
    await world.hostOnline()
    await world.time.advance(3_000)
    expect(world.batches('alarm').map(({ payload }) => payload.metrics[0]?.isHistorical)).toEqual([true, undefined])
  })

  test('a backlog of an earlier run is history even where nothing newer was read', async () => {
    const world = new World()
    await world.start()
    await world.report('leak', true)
    world.crash()
    world.source.newest.clear()
    await world.hostOnline()
    await world.start()
    await world.time.advance(3_000)
    expect(world.batches('alarm').map(({ payload }) => payload.metrics[0]?.isHistorical)).toEqual([true])
  })

  test('while a class is behind, a crossed alarm limit goes out at once', async () => {
    const world = new World()
    world.hello = false
    await world.hostOnline()
    await world.start()
    await world.time.advance(100)
    world.command([
      birthMetric('String', formatAlarmLimits(new Map([['plant/fm-1/flow', [10]]])), {
        name: metricNames.alarmLimits,
        timestamp: world.time.now(),
      }),
    ])
    await world.time.advance(100)
    void world.report('flow', 1)
    await world.time.advance(1_400)
    world.forget()
    for (const [index, value] of [2, 3, 11, 12, 4].entries()) {
      void world.report('flow', value)
      await world.time.advance(1)
      expect(world.liveCopies().length).toBe(index < 2 ? 0 : index < 4 ? 1 : 2)
    }
  })

  test('rule 1: while a sync takes long, values go as live copies and no batch is published', async () => {
    const world = await delivering()
    world.forget()
    let release: () => void = () => {}
    const log = world.uplink?.outbox.of('raw')
    const sync = log?.sync.bind(log)
    if (log && sync) {
      log.sync = async () => {
        await new Promise<void>(resolve => {
          release = resolve
        })
        await sync()
      }
    }
    void world.report('flow', 42)
    await world.time.advance(1_000)
    expect(world.batches()).toEqual([])
    expect(world.liveCopies().map(({ payload }) => payload.metrics[0]?.value)).toEqual([42])
    release()
    await world.time.advance(1_000)
    expect(world.batches('raw')).toHaveLength(1)
  })
})

describe('rule 11: rebirth', () => {
  test('tck-id-operational-behavior-data-commands-rebirth-action-1, -2, -3: births at once with the same bdSeq and a new session', async () => {
    const world = await delivering()
    const first = world.session
    world.confirming = false
    void world.report('leak', true)
    await world.time.advance(1_000)
    world.forget()
    world.hello = false
    world.rebirth()
    await world.time.advance(100)
    expect(world.seen.map(({ verb }) => verb)).toEqual(['NBIRTH', 'DBIRTH'])
    expect(bdSeqOf(world, world.of('NBIRTH')[0])).toBe(0)
    expect(world.session).not.toBe(first)
    await world.time.advance(5_000)
    expect(world.batches()).toEqual([])
    world.confirming = true
    world.confirm()
    await world.time.advance(100)
    expect(world.batches('alarm').map(({ head }) => [head?.pos, head?.session])).toEqual([[0, world.session]])
  })

  test('several requests in one second are one', async () => {
    const world = await delivering()
    for (let index = 0; index < 5; index++) {
      world.rebirth()
      await world.time.advance(150)
    }
    expect(world.of('NBIRTH')).toHaveLength(2)
    await world.time.advance(1_000)
    world.rebirth()
    await world.time.advance(100)
    expect(world.of('NBIRTH')).toHaveLength(3)
  })
})

describe('rule 12: the host goes offline', () => {
  test('tck-id-operational-behavior-edge-node-termination-host-offline, -reconnect: NDEATH, disconnect, connect once, wait silently', async () => {
    const world = await delivering()
    world.forget()
    world.state(false)
    await world.time.advance(100)
    expect(world.of('NDEATH').length).toBeGreaterThanOrEqual(1)
    expect(world.of('NDEATH')[0]).toMatchObject({ qos: 1, retain: false })
    await world.time.advance(60_000)
    expect(world.network.clients).toContain(`${group}.${edge}`)
    expect(world.of('NBIRTH')).toEqual([])
    const bdSeq = new TextDecoder().decode((await world.files.readWhole('/data/bdseq')) ?? undefined)
    expect(bdSeq.trim()).toBe('1')
    world.state(true)
    await world.time.advance(2_001)
    expect(bdSeqOf(world, world.of('NBIRTH')[0])).toBe(1)
  })

  test('tck-id-operational-behavior-edge-node-termination-host-offline-timestamp: an older offline is ignored', async () => {
    const world = await delivering()
    world.forget()
    world.state(false, startMs - 1)
    await world.time.advance(5_000)
    expect(world.of('NDEATH')).toEqual([])
  })

  test('tck-id-operational-behavior-primary-application-state-with-multiple-servers-walk: with several brokers it goes on to the next', async () => {
    const world = await delivering({ uplink: { servers: 2 } })
    world.state(false)
    await world.time.advance(30_000)
    const bdSeq = new TextDecoder().decode((await world.files.readWhole('/data/bdseq')) ?? undefined)
    expect(Number(bdSeq)).toBeGreaterThan(2)
  })

  test('tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath: NDEATH before DISCONNECT at a stop', async () => {
    const world = await delivering()
    world.forget()
    void world.report('flow', 5)
    const closing = world.uplink?.close()
    await world.time.advance(5_000)
    await closing
    expect(world.of('NDEATH').length).toBeGreaterThanOrEqual(1)
    // the last reading was synced and went out before
    expect(world.seen[0]?.head).toMatchObject({ class: 'raw', pos: 0 })
    expect(world.network.clients).not.toContain(`${group}.${edge}`)
    expect(world.files.openFiles).toBe(0)
    expect(world.time.pending).toBeLessThanOrEqual(1)
  })
})

describe('identity', () => {
  test('another box with the same identity: three short connections in a minute, then it waits a minute and says so', async () => {
    const world = await delivering()
    let taken = 0
    const rival = () =>
      world.network.connect({
        clientId: `${group}.${edge}`,
        will: { topic: 'x', payload: new Uint8Array(), qos: 1, retain: false },
        onMessage: () => {},
        signal: new AbortController().signal,
      })
    while (taken < 3 && world.time.now() < startMs + 60_000) {
      if (world.uplink?.status().connected) {
        taken++
        void rival()
      }
      await world.time.advance(500)
    }
    expect(taken).toBe(3)
    await world.time.advance(5_000)
    expect(world.uplink?.status().problem).toBe('identity-in-use')
    expect(world.uplink?.status().text).toContain(`another box uses my identity ${group}/${edge}`)
    await world.time.advance(65_000)
    expect(world.uplink?.status().connected).toBe(true)
  })
})

describe('alarm limits', () => {
  const limits = new Map([['plant/fm-1/flow', [10, 20]]])
  const send = (world: World, text: string) =>
    world.command([birthMetric('String', text, { name: metricNames.alarmLimits, timestamp: world.time.now() })])

  test('are kept over a restart and reported by their hash, in NDATA and in the NBIRTH', async () => {
    const world = await delivering()
    expect(world.source.limits).toBeNull()
    world.forget()
    send(world, formatAlarmLimits(limits))
    await world.time.advance(100)
    expect(world.source.limits).toEqual(limits)
    const { hash } = JSON.parse(formatAlarmLimits(limits))
    expect(world.metric(world.of('NDATA')[0], metricNames.alarmLimitsHash)?.value).toBe(hash)
    world.crash()
    world.source.limits = null
    await world.start()
    await world.time.advance(3_000)
    expect(world.source.limits).toEqual(limits)
    expect(world.metric(world.of('NBIRTH').at(-1), metricNames.alarmLimitsHash)?.value).toBe(hash)
  })

  test('a damaged text changes nothing', async () => {
    const world = await delivering()
    send(world, formatAlarmLimits(limits).replace('20', '30'))
    await world.time.advance(100)
    expect(world.source.limits).toBeNull()
  })
})

test('diagnostics of a device go out as DDATA without body, which nobody counts', async () => {
  const world = await delivering()
  world.forget()
  world.uplink?.diagnosis('plant:fm-1', { ...world.source.diagnosis(), state: 'failing' })
  await world.time.advance(100)
  const [said] = world.of('DDATA')
  expect(said?.head).toBeNull()
  expect(said?.payload.metrics.map(({ name }) => name)).toEqual([metricNames.diagnostics])
  expect(JSON.parse(String(said?.payload.metrics[0]?.value)).state).toBe('failing')
})
