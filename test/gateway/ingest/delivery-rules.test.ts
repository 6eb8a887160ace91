import { alarmLimitsHash, parseAlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import { encodeBatchHead, endMetric, metricNames } from '@penstock/core/delivery/wire.ts'
import { birthMetric, dataMetric } from '@penstock/core/sparkplug/values.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { World } from './harness.ts'

let world: World
beforeEach(() => {
  world = new World()
})
afterEach(() => world.close())

const minute = 60_000

describe('delivery protocol, rule 14: births', () => {
  it('confirms a registered edge at once: the hello', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.nodeBirth()
    await world.time.advance(1)
    expect(edge.confirms).toEqual([
      {
        host: 'penstock',
        ledger: 'data-ledger',
        epoch: '4711',
        session: edge.session,
        next: { alarm: 0, total: 0, raw: 0 },
        tail: { alarm: null, total: null, raw: null },
        resend: [],
      },
    ])
  })

  it('sends commands by name, with a time, without sequence number, not retained', async () => {
    const seen: { topic: string; qos: number; retain: boolean }[] = []
    world.network.onMessage = (_, message) => void seen.push(message)
    await world.gateway()
    const edge = await world.edge()
    edge.nodeBirth()
    await world.time.advance(1)
    const command = seen.find(({ topic }) => topic === 'spBv1.0/g1/NCMD/e1')
    expect(command).toMatchObject({ qos: 0, retain: false })
    expect(edge.commands[0]?.metric).toMatchObject({
      name: metricNames.confirm,
      timestamp: world.time.now() - 1,
      alias: undefined,
    })
  })

  it('repeats the hello for a repeated birth and keeps the session', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(1)
    edge.nodeBirth({ session: edge.session })
    edge.seq = 2
    edge.batch(0)
    await world.time.advance(1_000)
    expect(edge.confirms.filter(({ session }) => session === edge.session).length).toBeGreaterThanOrEqual(2)
    expect(edge.confirms.at(-1)?.next.raw).toBe(1)
  })

  it('asks for a rebirth when data comes before a birth, at most once in 10 s, doubling to 5 min', async () => {
    await world.gateway()
    const edge = await world.edge()
    for (let second = 0; second < 1_300; second++) {
      edge.live(1)
      await world.time.advance(1_000)
    }
    const at = edge.commands
      .filter(({ name }) => name === metricNames.rebirth)
      .map(command => Math.round(command.at / 1_000))
    expect(at.map(time => time - (at[0] ?? 0))).toEqual([0, 10, 30, 70, 150, 310, 610, 910, 1210])
  })

  it('asks for a rebirth when an alias is unknown', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.live(1, { alias: 99 })
    await world.time.advance(1)
    expect(edge.rebirths).toBe(1)
  })

  it('asks for a rebirth when a gap in the sequence is 2 s old, not before', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.seq++
    edge.live(1)
    await world.time.advance(1_900)
    expect(edge.rebirths).toBe(0)
    await world.time.advance(200)
    expect(edge.rebirths).toBe(1)
  })

  it('does not when what was late comes within 2 s', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.seq = 3
    edge.live(1)
    edge.seq = 2
    edge.live(2)
    edge.seq = 4
    await world.time.advance(5_000)
    expect(edge.rebirths).toBe(0)
  })

  it('does not ask at once for an alias that a late birth may still declare', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.nodeBirth()
    edge.seq = 2
    edge.batch(0)
    await world.time.advance(100)
    edge.seq = 1
    edge.deviceBirth()
    await world.time.advance(100)
    edge.seq = 3
    edge.batch(0)
    await world.time.advance(1_000)
    expect(edge.rebirths).toBe(0)
    expect(world.consumer.values()).toEqual([0])
  })

  it('ignores an NDEATH with another bdSeq than the birth', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.nodeDeath(200)
    await world.time.advance(10)
    expect(gateway.edges()[0]).toMatchObject({ online: true })
    edge.nodeDeath()
    await world.time.advance(10)
    expect(gateway.edges()[0]).toMatchObject({ online: false })
  })

  it('does not confirm an unknown edge, shows its live values, and confirms after adoption', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge({ id: 'stranger', site: 'elsewhere' })
    edge.born()
    edge.live(42)
    edge.batch(0)
    await world.time.advance(minute)
    expect(edge.confirms).toEqual([])
    expect(world.consumer.applied).toEqual([])
    expect(world.live.get('elsewhere/fm-1/flow', world.time.now())).toMatchObject({ value: 0, quality: 'good' })
    expect(gateway.edges()).toMatchObject([
      { edge: 'g1/stranger', registered: false, problem: 'unknown-edge', hardwareId: 'hw-1' },
    ])

    await adopt(gateway.adopt('g1/stranger', 'hw-1'))
    expect(edge.confirms).toHaveLength(1)
    expect(gateway.edges()).toMatchObject([{ registered: true, problem: null }])
    expect(world.consumer.events).toEqual([
      'adopted g1/stranger',
      'online g1/stranger',
      'device-online g1/stranger elsewhere:fm-1',
    ])
    edge.batch(0)
    await world.time.advance(1_000)
    expect(edge.confirms.at(-1)?.next.raw).toBe(1)
  })

  it('remembers an adoption after a restart', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge({ id: 'stranger' })
    edge.born()
    await world.time.advance(1)
    await adopt(gateway.adopt('g1/stranger'))
    await world.close()
    const again = await world.gateway()
    expect(again.edges()).toMatchObject([{ edge: 'g1/stranger', registered: true }])
  })

  it('refuses to adopt another box than the one that was shown, and an edge that nobody saw', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge({ id: 'stranger' })
    edge.born()
    await world.time.advance(1)
    await expect(gateway.adopt('g1/stranger', 'hw-9')).rejects.toMatchObject({ code: 'edge-changed' })
    await expect(gateway.adopt('g1/nobody')).rejects.toMatchObject({ code: 'edge-unknown' })
  })

  it('does not confirm another box under the name of a bound edge, until it is adopted', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(1)
    expect(world.registry.bound.get('g1/e1')).toBe('hw-1')
    edge.nodeDeath()
    const box = await world.edge({ hardwareId: 'hw-2', clientId: 'the other box' })
    box.born()
    await world.time.advance(minute)
    expect(box.confirms).toEqual([])
    expect(gateway.edges()[0]).toMatchObject({ problem: 'other-hardware', hardwareId: 'hw-2' })
    await adopt(gateway.adopt('g1/e1', 'hw-2'))
    expect(box.confirms).toHaveLength(1)
    expect(gateway.edges()[0]).toMatchObject({ problem: null })
  })

  it('does not confirm a hardware id that is online as another edge', async () => {
    world.registry.edges.set('g1/e2', { hardwareId: null })
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    const clone = await world.edge({ id: 'e2', site: 'copy' })
    clone.born()
    await world.time.advance(minute)
    expect(edge.confirms.length).toBeGreaterThan(0)
    expect(clone.confirms).toEqual([])
    expect(gateway.edges()[1]).toMatchObject({ edge: 'g1/e2', problem: 'duplicate-identity' })
  })

  it('does not confirm a version of the protocol that it does not speak', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge({ version: 2 })
    edge.born()
    await world.time.advance(minute)
    expect(edge.confirms).toEqual([])
    expect(gateway.edges()[0]).toMatchObject({ problem: 'unsupported-version' })
  })

  it('does not confirm an edge that names a site of another group', async () => {
    world.registry.sites.set('plant', 'g2')
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.batch(0)
    await world.time.advance(minute)
    expect(gateway.edges()[0]).toMatchObject({ problem: 'foreign-site' })
    expect(world.consumer.batches).toEqual([])
    world.registry.sites.set('plant', 'g1')
    gateway.registryChanged()
    edge.batch(0)
    await world.time.advance(1_000)
    expect(world.consumer.values()).toEqual([0])
  })
})

describe('delivery protocol, rule 15: batches', () => {
  it('takes batches in order, class by class, exactly once', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    for (const pos of [0, 1, 1, 0, 2]) edge.batch(pos)
    edge.batch(0, { class: 'total' })
    await world.time.advance(1_000)
    expect(world.consumer.values('raw')).toEqual([0, 1, 2])
    expect(world.consumer.values('total')).toEqual([0n])
    expect(edge.confirms.at(-1)).toMatchObject({
      next: { alarm: 0, total: 1, raw: 3 },
      tail: { alarm: null, total: 7, raw: 9 },
    })
  })

  it('confirms again a batch that it has already', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.batch(0)
    await world.time.advance(1_000)
    const before = edge.confirms.length
    edge.batch(0)
    await world.time.advance(1_000)
    expect(edge.confirms.length).toBe(before + 1)
  })

  it('holds a batch that came early and asks for the missing one', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.batch(1)
    await world.time.advance(20)
    expect(edge.confirms.at(-1)).toMatchObject({ next: { raw: 0 }, resend: ['raw'] })
    edge.batch(0)
    await world.time.advance(1_000)
    expect(world.consumer.values()).toEqual([0, 1])
  })

  it('gives up held batches after 2 s and asks again', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.batch(1)
    await world.time.advance(2_500)
    expect(gateway.status().counters.droppedHeld).toBe(1)
    expect(edge.confirms.filter(({ resend }) => resend.includes('raw'))).toHaveLength(2)
    edge.batch(0)
    await world.time.advance(1_000)
    expect(world.consumer.values()).toEqual([0])
  })

  it('holds at most 64 batches', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    for (let pos = 1; pos <= 100; pos++) edge.batch(pos)
    await world.time.advance(20)
    expect(gateway.status().counters.heldBatches).toBe(64)
    edge.batch(0)
    await world.time.advance(1_000)
    expect(world.consumer.values()).toHaveLength(65)
  })

  it('does not wait for what the edge declares lost, and records the loss before the batch', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.batch(0)
    edge.batch(5, { from: 1 })
    await world.time.advance(1_000)
    expect(world.consumer.values()).toEqual([0, 5])
    expect(world.consumer.losses).toMatchObject([{ class: 'raw', from: 1, to: 5, reason: null }])
    expect(edge.confirms.at(-1)?.next.raw).toBe(6)
    const kinds = world.consumer.applied
      .map(({ entry }) => entry.kind)
      .filter(kind => kind === 'loss' || kind === 'batch')
    expect(kinds).toEqual(['batch', 'loss', 'batch'])
  })

  it('counts only what was really missing of a declared loss', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    for (const pos of [0, 1, 2]) edge.batch(pos)
    edge.batch(5, { from: 1 })
    await world.time.advance(1_000)
    expect(world.consumer.losses).toMatchObject([{ from: 3, to: 5 }])
    expect(gateway.edges()[0]?.lostBatches).toBe(2)
  })

  it('without declared holes it would wait for ever', async () => {
    await world.gateway({ rules: { declaredHoles: false } })
    const edge = await world.edge()
    edge.born()
    edge.batch(0)
    for (let second = 0; second < 60; second++) {
      edge.batch(5, { from: 1 })
      await world.time.advance(1_000)
    }
    expect(edge.confirms.at(-1)?.next.raw).toBe(1)
  })

  it('drops a batch of another session and asks for a rebirth at the third', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.batch(0, { session: 5 })
    edge.batch(1, { session: 5 })
    await world.time.advance(10)
    expect(edge.rebirths).toBe(0)
    edge.batch(2, { session: 5 })
    await world.time.advance(10)
    expect(edge.rebirths).toBe(1)
    expect(gateway.status().counters.alienBatches).toBe(3)
    expect(world.consumer.batches).toEqual([])
  })

  it('asks for a rebirth at the first one when the birth is 5 s old', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(5_100)
    edge.batch(0, { session: 5 })
    await world.time.advance(10)
    expect(edge.rebirths).toBe(1)
  })

  it('without that rule an edge that missed a birth would be stuck; without session numbers an old batch would count', async () => {
    await world.gateway({ rules: { rebirthAlienSession: false } })
    const edge = await world.edge()
    edge.born()
    await world.time.advance(6_000)
    for (let pos = 0; pos < 5; pos++) edge.batch(pos, { session: 5 })
    await world.time.advance(10)
    expect(edge.rebirths).toBe(0)
    await world.close()
    await world.gateway({ rules: { sessionNumber: false } })
    edge.born()
    edge.batch(0, { session: 5 })
    await world.time.advance(1_000)
    expect(world.consumer.values()).toEqual([0])
  })

  it('keeps the positions of each epoch', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.batch(0)
    edge.epoch = '99'
    edge.born()
    await world.time.advance(500)
    expect(edge.confirms.at(-1)).toMatchObject({ epoch: '99', next: { raw: 0 } })
    edge.batch(0, { value: 17 })
    edge.epoch = '4711'
    edge.born()
    await world.time.advance(500)
    expect(edge.confirms.at(-1)).toMatchObject({ epoch: '4711', next: { raw: 1 } })
    expect(world.consumer.values()).toEqual([0, 17])
  })

  it('records what the edge declares lost, with its reason', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    const loss = { class: 'raw', from: 3, to: 9, firstMs: 5, lastMs: 6, reason: 'outbox-full' }
    edge.nodeData(
      [dataMetric('String', JSON.stringify(loss), { name: metricNames.loss, timestamp: 1 })],
      encodeBatchHead({ session: edge.session, class: 'alarm', from: 0, pos: 0, crc: 1 }),
    )
    await world.time.advance(1_000)
    expect(world.consumer.losses).toMatchObject([loss])
    expect(edge.confirms.at(-1)?.next).toEqual({ alarm: 1, total: 0, raw: 0 })
  })

  it('answers an edge that still awaits the hello', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(100)
    const before = edge.confirms.length
    edge.nodeData([dataMetric('Int64', 12n, { name: endMetric('raw'), timestamp: 1 })])
    await world.time.advance(1)
    expect(edge.confirms.length).toBe(before + 1)
  })
})

describe('delivery protocol, rule 16: commit and confirmation', () => {
  const since = (edge: { commands: { at: number }[] }, start: number) => edge.commands.map(({ at }) => at - start)

  it('confirms class alarm at once, others within 50 + 200 ms', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(1_000)
    edge.commands.length = 0
    const start = world.time.now()
    edge.batch(0, { class: 'alarm' })
    await world.time.advance(20)
    expect(edge.confirms.at(-1)?.next.alarm).toBe(1)
    edge.batch(0)
    await world.time.advance(600)
    expect(since(edge, start)).toHaveLength(2)
    expect(since(edge, start)[1]).toBeGreaterThan(60)
    expect(since(edge, start)[1]).toBeLessThanOrEqual(20 + 50 + 200 + 20)
  })

  it('confirms after 16 batches without waiting', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(1_000)
    edge.commands.length = 0
    for (let pos = 0; pos < 16; pos++) edge.batch(pos)
    await world.time.advance(70)
    expect(edge.confirms.at(-1)?.next.raw).toBe(16)
  })

  it('confirms every 30 s when nothing happens', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(95_000)
    expect(edge.confirms).toHaveLength(4)
  })

  it('never confirms what is not synced', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(1_000)
    world.files.fail('sync', 'EIO', 1_000)
    edge.batch(0)
    await world.time.advance(31_000)
    expect(edge.confirms.at(-1)?.next.raw).toBe(0)
    expect(gateway.status().inbox.state).toBe('failing')
    world.files.heal()
    await world.time.advance(3_000)
    expect(edge.confirms.at(-1)?.next.raw).toBe(1)
    expect(world.consumer.values()).toEqual([0])
  })
})

describe('delivery protocol, rule 17: live copies', () => {
  it('shows live copies and counts them never', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.live(42)
    await world.time.advance(1_000)
    expect(world.live.get('plant/fm-1/flow', world.time.now())).toMatchObject({ value: 42, quality: 'good' })
    expect(world.consumer.batches).toEqual([])
  })

  it('puts births and live copies that a rule reads into the live lane, and nothing else', async () => {
    await world.gateway({ limits: { limitsFor: () => null, readsLive: tag => tag.endsWith('/flow') } })
    const edge = await world.edge()
    edge.born()
    edge.live(42)
    await world.time.advance(1_000)
    const live = world.consumer.applied.flatMap(({ entry }) => (entry.kind === 'live' ? entry.readings : []))
    expect(live.map(({ tag, value }) => [tag, value])).toEqual([
      ['plant/fm-1/flow', 1],
      ['plant/fm-1/flow', 42],
    ])
  })

  it('a historical batch counts, but moves no live value', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    edge.live(42)
    edge.batch(0, { historical: true, value: 7 })
    await world.time.advance(1_000)
    expect(world.live.get('plant/fm-1/flow', world.time.now())?.value).toBe(42)
    expect(world.consumer.batches).toMatchObject([{ live: false }])
  })
})

describe('delivery protocol, rule 18: no room, clean stop', () => {
  it('does not confirm when the disk is full, goes on with live copies, and recovers by itself', async () => {
    const gateway = await world.gateway({ limits: { limitsFor: () => null, readsLive: () => true } })
    const edge = await world.edge()
    edge.born()
    edge.batch(0)
    await world.time.advance(2_000)
    world.files.free = 100_000
    edge.batch(1)
    await world.time.advance(2_000)
    edge.batch(2)
    edge.live(77)
    await world.time.advance(2_000)
    expect(gateway.edges()[0]).toMatchObject({ problem: 'storage-full' })
    expect(gateway.status()).toMatchObject({ inbox: { state: 'full' }, counters: { refusedBatches: 1 } })
    expect(edge.confirms.at(-1)?.next.raw).toBe(1)
    expect(world.live.get('plant/fm-1/flow', world.time.now())?.value).toBe(77)
    const live = world.consumer.applied.flatMap(({ entry }) => (entry.kind === 'live' ? entry.readings : []))
    expect(live.at(-1)?.value).toBe(77)

    world.files.free = Number.POSITIVE_INFINITY
    edge.commands.length = 0
    await world.time.advance(3_000)
    expect(edge.confirms.at(-1)).toMatchObject({ next: { raw: 2 }, resend: ['alarm', 'total', 'raw'] })
    expect(gateway.edges()[0]).toMatchObject({ problem: null })
    edge.batch(2)
    await world.time.advance(1_000)
    expect(world.consumer.values()).toEqual([0, 1, 2])
  })

  it('survives a disk without a single free byte', async () => {
    const gateway = await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(1_000)
    world.files.free = 0
    edge.batch(0)
    await world.time.advance(5_000)
    expect(gateway.status().inbox.state).not.toBe('ok')
    expect(edge.confirms.at(-1)?.next.raw).toBe(0)
    world.files.free = Number.POSITIVE_INFINITY
    await world.time.advance(5_000)
    edge.batch(0)
    await world.time.advance(1_000)
    expect(edge.confirms.at(-1)?.next.raw).toBe(1)
    expect(world.consumer.values()).toEqual([0])
  })

  it('stops: commits, confirms, flushes the consumers, STATE offline with the time of now', async () => {
    const states: string[] = []
    world.network.onMessage = (_, { topic, payload }) => {
      if (topic === 'spBv1.0/STATE/penstock') states.push(new TextDecoder().decode(payload))
    }
    const gateway = await world.gateway()
    world.consumer.durableAtOnce = false
    const edge = await world.edge()
    edge.born()
    edge.batch(0)
    await world.time.advance(1)
    const closing = gateway.close()
    const at = world.time.now()
    await world.time.advance(1_000)
    await closing
    expect(edge.confirms.at(-1)?.next.raw).toBe(1)
    expect(world.consumer.cursor).toBeGreaterThan(0)
    expect(world.consumer.values()).toEqual([0])
    expect(JSON.parse(states.at(-1) ?? '')).toEqual({ online: false, timestamp: at })
    expect(world.network.clients).toEqual(['edge-g1-e1'])
  })
})

describe('after a restart', () => {
  it('says in the hello what is committed, also after the power went', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    for (let pos = 0; pos < 20; pos++) edge.batch(pos)
    await world.time.advance(1_000)
    await world.close()
    world.files.crash()
    world.consumer.applied.length = 0
    await world.gateway()
    edge.born()
    await world.time.advance(100)
    expect(edge.confirms.at(-1)).toMatchObject({ next: { raw: 20 }, tail: { raw: 26 } })
    expect(world.consumer.batches).toEqual([])
  })

  it('marks an edge offline that does not come back', async () => {
    await world.gateway()
    const edge = await world.edge()
    edge.born()
    await world.time.advance(1_000)
    await world.close()
    world.consumer.applied.length = 0
    await world.gateway()
    expect(edge.rebirths).toBe(0)
    await world.time.advance(12_000)
    expect(edge.rebirths).toBe(1)
    await world.time.advance(30_000)
    const offline = world.consumer.applied.map(({ entry }) => entry)
    expect(offline).toMatchObject([
      {
        kind: 'edge',
        event: 'offline',
        edge: 'g1/e1',
        tags: ['plant/fm-1/flow', 'plant/fm-1/total', 'plant/fm-1/leak'],
      },
    ])
  })
})

describe('alarm limits', () => {
  it('are sent every 10 s until the edge says that it has them', async () => {
    const limits = new Map([['plant/fm-1/flow', [1, 2.5]]])
    const hash = alarmLimitsHash(limits)
    await world.gateway({ limits: { limitsFor: () => ({ hash, limits }), readsLive: () => false } })
    const edge = await world.edge()
    edge.born()
    await world.time.advance(25_000)
    const sent = edge.commands.filter(({ name }) => name === metricNames.alarmLimits)
    expect(sent).toHaveLength(3)
    expect(parseAlarmLimits(sent[0]?.text ?? '').value).toEqual({ hash, limits })
    edge.nodeData([birthMetric('String', hash, { name: metricNames.alarmLimitsHash, timestamp: 1 })])
    await world.time.advance(30_000)
    expect(edge.commands.filter(({ name }) => name === metricNames.alarmLimits)).toHaveLength(3)
  })
})

/** The commit needs the time to move. */
async function adopt(adopting: Promise<void>): Promise<void> {
  await world.time.advance(100)
  await adopting
  await world.time.advance(1)
}
