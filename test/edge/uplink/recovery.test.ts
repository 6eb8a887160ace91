import type { BatchReading, DeclaredLoss } from '@penstock/core/delivery/batch.ts'
import { describe, expect, test } from 'vitest'
import { device, meter, metricNames, readQuality, startMs, tag, typedValue, World, type WorldOptions } from './world.ts'

async function delivering(options: WorldOptions = {}): Promise<World> {
  const world = new World({ ...options })
  await world.hostOnline()
  await world.start()
  await world.time.advance(1_000)
  return world
}

async function leaks(world: World, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    void world.report('leak', index % 2 === 0)
    await world.time.advance(20)
  }
  await world.time.advance(200)
}

const sentAlarms = (world: World) => world.batches('alarm').map(({ head }) => [head?.from, head?.pos])

describe('rule 5: the gateway is older than the edge', () => {
  test('a hello below the cursor: what is still held comes again, also after a restart of the edge', async () => {
    const world = await delivering()
    await leaks(world, 10)
    expect(world.next.alarm).toBe(10)
    world.next.alarm = 4
    world.tail.alarm = null
    world.crash()
    world.forget()
    await world.start()
    await world.time.advance(3_000)
    expect(sentAlarms(world)).toEqual([4, 5, 6, 7, 8, 9].map(pos => [pos, pos]))
    expect(world.next.alarm).toBe(10)
    expect(world.uplink?.status().classes.alarm.backlog).toBe(0)
  })

  test('what is gone is jumped over by `from`, and the edge says why', async () => {
    const world = await delivering({
      uplink: { limits: { maxBytes: 64 * 1024, segmentBytes: 2_048, syncMs: 250, maxAgeMs: 0 } },
    })
    await leaks(world, 600)
    const first = world.uplink?.outbox.of('alarm').first ?? 0
    expect(first).toBeGreaterThan(10)
    world.next.alarm = 3
    world.tail.alarm = null
    world.forget()
    world.rebirth()
    await world.time.advance(5_000)
    expect(sentAlarms(world)[0]).toEqual([3, first])
    expect(world.losses).toContainEqual({
      ...{ class: 'alarm', from: 3, to: first, firstMs: null, lastMs: null, reason: 'disk-image' },
    } satisfies DeclaredLoss)
    expect(world.next.alarm).toBe(world.uplink?.outbox.of('alarm').end)
  })
})

describe('rule 9: the disk is not the one that the gateway knows', () => {
  test('the gateway has more: new epoch, unconfirmed batches from 0, new birth', async () => {
    const world = await delivering()
    await leaks(world, 5)
    const image = world.files.snapshot()
    await leaks(world, 5)
    const before = world.epoch
    expect(world.next.alarm).toBe(10)
    world.crash()
    world.files.restore(image)
    world.forget()
    await world.start()
    await world.time.advance(3_000)
    expect(world.epoch).not.toBe(before)
    expect(world.of('NBIRTH')).toHaveLength(2)
    await leaks(world, 1)
    expect(sentAlarms(world).at(-1)?.[1]).toBe(world.next.alarm - 1)
    expect(world.next.alarm).toBeLessThanOrEqual(6)
    expect(world.uplink?.status().classes.alarm.backlog).toBe(0)
  })

  test('the same number of other batches: the tail tells', async () => {
    const world = await delivering()
    await leaks(world, 5)
    const image = world.files.snapshot()
    await leaks(world, 5)
    const before = world.epoch
    world.crash()
    world.files.restore(image)
    const { hostLink } = world
    world.state(false)
    await world.start()
    // the edge goes on without the gateway until it has as many batches as that
    await leaks(world, 7)
    expect(hostLink).toBe(world.hostLink)
    world.state(true)
    await world.time.advance(5_000)
    expect(world.epoch).not.toBe(before)
    expect(world.uplink?.status().classes.alarm.backlog).toBe(0)
    expect(world.next.alarm).toBeGreaterThanOrEqual(7)
  })
})

describe('declared losses on the wire', () => {
  test('go as NDATA of class alarm with the position in this epoch', async () => {
    const world = await delivering({
      uplink: { limits: { maxBytes: 48 * 1024, segmentBytes: 2_048, syncMs: 250, maxAgeMs: 0 } },
    })
    for (let index = 0; index < 100; index++) void world.report('flow', index)
    await world.time.advance(2_000)
    expect(world.next.raw).toBe(100)
    await world.uplink?.outbox.renew()
    world.confirming = false
    world.hello = false
    world.rebirth()
    await world.time.advance(100)
    for (let index = 0; index < 3_000; index++) {
      void world.report('flow', index)
      if (index % 30 === 0) await world.time.advance(300)
    }
    world.confirming = true
    world.hello = true
    world.rebirth()
    await world.time.advance(200_000)
    const said = world.batches('alarm').filter(({ verb }) => verb === 'NDATA')
    expect(said.length).toBeGreaterThan(0)
    expect(said[0]?.payload.metrics.map(({ name, alias }) => [name, alias])).toEqual([[metricNames.loss, undefined]])
    const losses = world.losses.filter(loss => loss.class === 'raw')
    expect(losses[0]).toMatchObject({ from: 0, reason: 'outbox-full' })
    const first = world.batches('raw').find(({ head }) => head?.session === world.session)
    expect(first?.head?.from).toBe(0)
    expect(losses.some(({ to }) => to === first?.head?.pos)).toBe(true)
    expect(world.uplink?.status().classes.raw.backlog).toBe(0)
  })
})

describe('births and stored readings', () => {
  const changed = device('fm-1', [
    tag('flow', { unit: 'l/s' }),
    tag('total', { type: 'Int64', class: 'total', unit: 'm3', resolution: '0.01', modulus: '4294967296000' }),
    tag('pressure'),
  ])

  test('a backlog of a tag that was removed or whose unit, resolution or type changed: retired, `~r1`, no endless rebirth', async () => {
    const world = new World({ devices: [meter, device('old', [tag('x')])] })
    await world.start()
    void world.report('flow', 1.5)
    void world.report('total', 77n)
    void world.report('leak', true)
    void world.report('x', 9, { device: 'plant:old' })
    await world.time.advance(1_000)
    await world.stop()
    world.source.devices = [changed]
    world.source.newest.clear()
    await world.hostOnline()
    await world.start()
    await world.time.advance(3_000)
    expect(world.of('NBIRTH')).toHaveLength(1)
    const births = new Map(world.of('DBIRTH').map(seen => [seen.device, seen]))
    const metrics = births.get('plant:fm-1')?.payload.metrics.filter(({ alias }) => alias !== undefined) ?? []
    const retired = (name: string) => metrics.find(metric => metric.name === name)?.properties?.get('retired')?.value
    expect(metrics.map(({ name }) => name).toSorted()).toEqual(
      ['flow', 'total', 'pressure', 'flow~r1', 'total~r1', 'leak'].toSorted(),
    )
    expect(['flow', 'total', 'pressure'].map(retired)).toEqual([undefined, undefined, undefined])
    expect(['flow~r1', 'total~r1', 'leak'].map(retired)).toEqual([true, true, true])
    const old = metrics.find(({ name }) => name === 'total~r1')
    expect(old?.properties?.get('resolution')?.value).toBe('0.001')
    expect(old && readQuality(old)).toEqual({ quality: 'bad', reason: 'retired' })
    const total = world.batches('total')[0]?.payload.metrics[0]
    expect(total?.alias).toBe(old?.alias)
    expect(total && typedValue(total, 'Int64')).toBe(77n)
    // the device that is gone: born for its readings, dead after the last of them
    const verbs = world.seen.filter(({ device }) => device === 'plant:old').map(({ verb }) => verb)
    expect(verbs).toEqual(['DBIRTH', 'DDATA', 'DDEATH'])
    expect([world.next.alarm, world.next.total, world.next.raw]).toEqual([1, 1, 2])
    // when nothing of it is held any more, the next birth does not list it
    world.forget()
    world.rebirth()
    await world.time.advance(100)
    expect(world.of('DBIRTH').map(({ device }) => device)).toEqual(['plant:fm-1'])
    const names = world.of('DBIRTH')[0]?.payload.metrics.map(({ name }) => name)
    expect(names).toEqual(['flow', 'total', 'pressure', metricNames.diagnostics])
  })

  test('a record that no birth can explain is declared unreadable, it does not make births for ever', async () => {
    const world = await delivering()
    const reading: BatchReading = {
      ...{ value: 1, quality: 'good', reason: null, sourceTimestamp: startMs, monotonicMs: 1 },
      ...{ tag: 'no-tag-of-a-device', type: 'Double' },
    }
    world.uplink?.outbox.append({ class: 'raw', device: 'plant:fm-1', bootId: 'boot-1', readings: [reading] })
    void world.report('flow', 2)
    await world.time.advance(5_000)
    expect(world.of('NBIRTH').length).toBeLessThanOrEqual(2)
    expect(world.next.raw).toBe(2)
    expect(world.losses).toMatchObject([{ class: 'raw', from: 0, to: 1, reason: 'unreadable' }])
  })

  test('a restored gateway wants readings of a tag that is long forgotten: one more birth, then they come', async () => {
    const world = await delivering()
    void world.report('flow', 1.5)
    await world.time.advance(1_000)
    expect(world.next.raw).toBe(1)
    await world.stop()
    world.source.devices = [changed]
    world.next.raw = 0
    world.tail.raw = null
    world.forget()
    await world.start()
    await world.time.advance(5_000)
    expect(world.of('NBIRTH')).toHaveLength(2)
    expect(world.next.raw).toBe(1)
  })
})

test('a disk that is full from the start: the edge connects, live values go out, and it delivers when there is room', async () => {
  const world = new World()
  await world.start()
  await world.stop()
  world.files.free = 0
  await world.hostOnline()
  await world.start()
  await world.time.advance(3_000)
  expect(world.of('NBIRTH')).toHaveLength(1)
  expect(world.uplink?.status().ledger).toBe(world.ledger)
  void world.report('flow', 42)
  await world.time.advance(3_000)
  expect(world.uplink?.status().diskProblem).toContain('no space left')
  expect(world.liveCopies().map(({ payload }) => payload.metrics[0]?.value)).toEqual([42])
  expect(world.batches()).toEqual([])
  world.files.free = Number.POSITIVE_INFINITY
  await world.time.advance(3_000)
  expect(world.next.raw).toBe(1)
})

describe('a box without a clock', () => {
  const yearsOff = Date.UTC(1970, 0, 2) - startMs
  const options: WorldOptions = { clockOffsetMs: yearsOff, uplink: { trust: 'detect' } }

  test('waits for the first confirmation, then stamps what it read by its monotonic time', async () => {
    const world = new World({ ...options })
    await world.start()
    for (let index = 0; index < 5; index++) {
      const now = world.time.now()
      void world.report('leak', index % 2 === 0, { sourceTimestamp: now + yearsOff })
      await world.time.advance(10_000)
    }
    await world.hostOnline()
    await world.time.advance(3_000)
    expect(world.metric(world.of('NBIRTH')[0], metricNames.clockSynchronised)?.value).toBe(false)
    const stamps = world.batches('alarm').map(({ payload }) => (payload.metrics[0]?.timestamp ?? 0) - startMs)
    expect(stamps).toHaveLength(5)
    for (const [index, stamp] of stamps.entries()) expect(Math.abs(stamp - index * 10_000)).toBeLessThan(50)
    // also what is read from now on, and the time of the messages
    const now = world.time.now()
    void world.report('leak', true, { sourceTimestamp: now + yearsOff })
    await world.time.advance(1_000)
    const last = world.batches('alarm').at(-1)
    expect(Math.abs((last?.payload.metrics[0]?.timestamp ?? 0) - now)).toBeLessThan(50)
    expect(Math.abs((last?.payload.timestamp ?? 0) - (last?.at ?? 0))).toBeLessThan(50)
  })

  test('an earlier boot that never learned its offset: uncertain, reason clock; one that did keeps it', async () => {
    const world = new World({ ...options })
    await world.start()
    void world.report('leak', true, { sourceTimestamp: world.time.now() + yearsOff })
    await world.time.advance(1_000)
    await world.stop()
    const second = { id: 'boot-2', monotonicMs: () => world.time.now() - startMs }
    Object.assign(world.options, { uplink: { ...options.uplink, boot: second } })
    await world.hostOnline()
    await world.start()
    await world.time.advance(3_000)
    const [old] = world.batches('alarm')
    const metric = old?.payload.metrics[0]
    expect(metric && readQuality(metric)).toEqual({ quality: 'uncertain', reason: 'clock' })
  })

  test('an instrument that stamps itself is left alone', async () => {
    const world = new World({ ...options })
    await world.start()
    void world.report('total', 5n, { sourceTimestamp: Date.UTC(2016, 5, 1) })
    await world.time.advance(1_000)
    await world.hostOnline()
    await world.time.advance(3_000)
    expect(world.batches('total')[0]?.payload.metrics[0]?.timestamp).toBe(Date.UTC(2016, 5, 1))
  })

  test('a confirmation without time holds the durable lane, live copies go on', async () => {
    const world = new World({ ...options })
    world.hello = false
    await world.hostOnline()
    await world.start()
    await world.time.advance(100)
    void world.report('leak', true, { sourceTimestamp: world.time.now() + yearsOff })
    world.confirm({}, null)
    await world.time.advance(2_000)
    expect(world.batches()).toEqual([])
    expect(world.liveCopies()).toHaveLength(1)
    world.confirm()
    await world.time.advance(2_000)
    expect(world.batches('alarm')).toHaveLength(1)
  })
})
