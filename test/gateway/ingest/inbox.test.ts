import { silentLogger } from '@penstock/core/runtime/log.ts'
import { Inbox, type InboxOptions } from '@penstock/gateway/ingest/inbox.ts'
import { Positions } from '@penstock/gateway/ingest/positions.ts'
import type { BatchEntry, InboxEntry, InboxRecord, LossEntry } from '@penstock/gateway/ingest/record.ts'
import { describe, expect, it } from 'vitest'
import { FaultyFiles } from '../../support/faulty-files.ts'
import { ManualTime } from '../../support/manual-time.ts'
import { SeededRandom } from '../../support/random.ts'

const runs = Number(process.env.PENSTOCK_RUNS ?? 60)

const batch = (pos: number, fields: Partial<BatchEntry> = {}): BatchEntry => ({
  kind: 'batch',
  edge: 'g1/e1',
  epoch: '7',
  class: 'raw',
  from: pos,
  pos,
  crc: pos * 3,
  receivedAt: 1_767_225_600_000,
  skewMs: 0,
  live: true,
  readings: [{ tag: 'plant/fm-1/flow', type: 'Double', value: pos, quality: 'good', reason: null, sourceTimestamp: 5 }],
  ...fields,
})

const loss = (from: number, to: number, reason: string | null = null): LossEntry => ({
  kind: 'loss',
  edge: 'g1/e1',
  epoch: '7',
  class: 'raw',
  from,
  to,
  receivedAt: 5,
  reason,
  firstMs: null,
  lastMs: null,
})

class Bench {
  /** of this life: what ended has no timers any more */
  time = new ManualTime(1_000)
  readonly random: SeededRandom
  readonly files: FaultyFiles
  readonly options: Partial<InboxOptions>

  constructor(options: Partial<InboxOptions> = {}, seed = 1) {
    this.random = new SeededRandom(seed)
    this.files = new FaultyFiles(this.random.next)
    this.options = options
  }

  open(): Promise<Inbox> {
    return Inbox.open({
      folder: '/inbox',
      files: this.files,
      ticker: this.time,
      log: silentLogger,
      segmentBytes: 4_096,
      maxBytes: 2 ** 20,
      ...this.options,
    })
  }
}

async function readAll(inbox: Inbox, from = inbox.first): Promise<InboxRecord[]> {
  const all: InboxRecord[] = []
  for (let at = from; at < inbox.durableEnd; ) {
    const { records, next } = await inbox.read(at, 7)
    all.push(...records)
    expect(next).toBeGreaterThan(at)
    at = next
  }
  return all
}

/** The fold of everything that an inbox holds, made anew. */
async function recomputed(inbox: Inbox): Promise<string> {
  const positions = new Positions()
  for (const { entry } of await readAll(inbox)) positions.apply(entry)
  return positions.serialise(true)
}

describe('the inbox', () => {
  it('commits within 50 ms, and class alarm at once', async () => {
    const bench = new Bench()
    const inbox = await bench.open()
    inbox.append(batch(0))
    await bench.time.advance(45)
    expect(inbox.durableEnd).toBe(0)
    await bench.time.advance(10)
    expect(inbox.durableEnd).toBe(1)
    inbox.append(batch(0, { class: 'alarm' }))
    await bench.time.advance(0)
    expect(inbox.durableEnd).toBe(2)
  })

  it('commits at 1 MiB without waiting', async () => {
    const bench = new Bench({ segmentBytes: 2 ** 24, maxBytes: 2 ** 26 })
    const inbox = await bench.open()
    const value = 'x'.repeat(300_000)
    const readings = [
      { tag: 'a/b/c', type: 'String', value, quality: 'good', reason: null, sourceTimestamp: 1 } as const,
    ]
    for (let pos = 0; pos < 4; pos++) inbox.append(batch(pos, { readings }))
    await bench.time.advance(0)
    expect(inbox.durableEnd).toBe(4)
  })

  it('tells what is committed apart from what is appended', async () => {
    const bench = new Bench()
    const inbox = await bench.open()
    inbox.append(batch(0))
    inbox.append(batch(1))
    expect(inbox.positions.find('g1/e1', '7')?.raw).toMatchObject({
      next: 2,
      tail: 3,
      committedNext: 0,
      committedTail: null,
    })
    await bench.time.advance(100)
    expect(inbox.positions.find('g1/e1', '7')?.raw).toMatchObject({ committedNext: 2, committedTail: 3 })
  })

  it('gives consumers only what is committed, from memory and from the disk alike', async () => {
    const bench = new Bench({ recentBytes: 200 })
    const inbox = await bench.open()
    const entries: InboxEntry[] = []
    for (let pos = 0; pos < 50; pos++) {
      entries.push(batch(pos))
      inbox.append(batch(pos))
    }
    expect((await inbox.read(0, 100)).records).toEqual([])
    await bench.time.advance(100)
    const read = await readAll(inbox)
    expect(read.map(({ entry }) => entry)).toEqual(entries)
    expect(read.map(({ position }) => position)).toEqual(entries.map((_, index) => index))
  })

  it('knows a loss with the edge’s reason from the hole that it saw itself', async () => {
    const bench = new Bench()
    const inbox = await bench.open()
    inbox.append(loss(3, 90, 'outbox-full'))
    expect(inbox.positions.find('g1/e1', '7')).toBeUndefined()
    inbox.append(loss(0, 4))
    expect(inbox.positions.find('g1/e1', '7')?.raw).toMatchObject({ next: 4, tail: null })
    expect(inbox.positions.edge('g1/e1')?.lost).toBe(4)
  })

  it('keeps positions when segments are trimmed and the snapshot is lost', async () => {
    const bench = new Bench()
    const inbox = await bench.open()
    for (let pos = 0; pos < 600; pos++) {
      inbox.append(batch(pos))
      if (pos % 40 === 0) await bench.time.advance(60)
    }
    inbox.append({ kind: 'edge', edge: 'g1/e9', event: 'adopted', device: null, tags: [], at: 1 })
    await bench.time.advance(100)
    for (const class_ of ['total', 'alarm'] as const) inbox.append(batch(0, { class: class_, edge: 'g1/e2' }))
    await bench.time.advance(100)
    await inbox.trim(inbox.durableEnd)
    expect(inbox.first).toBeGreaterThan(100)
    await inbox.close()
    await bench.files.remove('/inbox/positions.json')
    const again = await bench.open()
    expect(again.positions.find('g1/e1', '7')?.raw).toMatchObject({ next: 600, tail: 599 * 3, committedNext: 600 })
    expect(again.positions.find('g1/e2', '7')).toMatchObject({
      total: { next: 1 },
      alarm: { next: 1 },
      raw: { next: 0 },
    })
    expect(again.positions.edge('g1/e9')?.adopted).toBe(true)
  })

  it('trims only what every consumer has, and never the segment that is written', async () => {
    const bench = new Bench()
    const inbox = await bench.open()
    for (let pos = 0; pos < 400; pos++) {
      inbox.append(batch(pos))
      if (pos % 40 === 0) await bench.time.advance(60)
    }
    await bench.time.advance(100)
    await inbox.trim(150)
    expect(inbox.first).toBeLessThanOrEqual(150)
    expect(inbox.first).toBeGreaterThan(0)
    await inbox.trim(inbox.end + 1_000)
    expect(inbox.first).toBeLessThan(inbox.end)
  })

  it('can be trimmed on a disk without a single free byte', async () => {
    const bench = new Bench()
    const inbox = await bench.open()
    for (let pos = 0; pos < 400; pos++) {
      inbox.append(batch(pos))
      if (pos % 20 === 0) await bench.time.advance(60)
    }
    await bench.time.advance(100)
    bench.files.free = 0
    await inbox.trim(inbox.durableEnd)
    expect(inbox.first).toBeGreaterThan(100)
  })

  it('keeps positions that stand only in segments from before the last restart', async () => {
    const bench = new Bench()
    const first = await bench.open()
    for (let pos = 0; pos < 100; pos++) first.append(batch(pos))
    await first.close()
    bench.time = new ManualTime(9_000)
    const second = await bench.open()
    for (let pos = 0; pos < 60; pos++) second.append(batch(pos, { edge: 'g1/e2' }))
    await bench.time.advance(100)
    await second.trim(second.durableEnd)
    expect(second.first).toBeGreaterThan(0)
    await second.close()
    await bench.files.remove('/inbox/positions.json')
    const third = await bench.open()
    expect(third.positions.find('g1/e1', '7')?.raw.next).toBe(100)
    expect(third.positions.find('g1/e2', '7')?.raw.next).toBe(60)
  })

  it('starts above the cursors of its consumers when an older inbox was put back', async () => {
    const bench = new Bench({ atLeast: 500 })
    const inbox = await bench.open()
    expect(inbox.append(batch(0))).toBe(500)
  })

  it('is full beyond its bound until consumers let it shrink', async () => {
    const bench = new Bench({ maxBytes: 20_000 })
    const inbox = await bench.open()
    let pos = 0
    while (inbox.takesBatches && pos < 2_000) {
      inbox.append(batch(pos++))
      await bench.time.advance(60)
    }
    expect(inbox.state).toBe('full')
    expect(inbox.bytes).toBeLessThan(40_000)
    await inbox.trim(inbox.durableEnd)
    await bench.time.advance(2_000)
    expect(inbox.state).toBe('ok')
  })

  it('refuses commands, not edges, when the disk refuses for long; commit says so', async () => {
    const bench = new Bench()
    const inbox = await bench.open()
    bench.files.fail('sync', 'ENOSPC', 1_000)
    inbox.append({ kind: 'tick', at: 1 })
    await expect(inbox.commit()).rejects.toMatchObject({ code: 'disk-full' })
    expect(inbox.takesBatches).toBe(false)
    bench.files.heal()
    await bench.time.advance(2_000)
    expect(inbox.durableEnd).toBe(inbox.end)
    expect(inbox.state).toBe('ok')
  })

  it('reads the whole log when the snapshot is damaged', async () => {
    const bench = new Bench()
    const inbox = await bench.open()
    for (let pos = 0; pos < 5; pos++) inbox.append(batch(pos))
    await inbox.close()
    bench.files.damage('/inbox/positions.json', content => content.fill(65, 0, 20))
    const again = await bench.open()
    expect(again.positions.find('g1/e1', '7')?.raw.next).toBe(5)
  })

  it(`keeps what it committed whatever is cut, and folds what it holds (${runs} runs)`, async () => {
    for (let seed = 1; seed <= runs; seed++) await crashRun(seed)
  })
})

/** Appends, commits, trims, loses power at any write, again and again; compares with what was committed. */
async function crashRun(seed: number): Promise<void> {
  const bench = new Bench({ segmentBytes: 2_048 }, seed)
  const { random, files } = bench
  const about = `seed ${seed}`
  let committed = 0
  let sent = 0
  let lost = 0
  for (let life = 0; life < 5; life++) {
    bench.time = new ManualTime(life * 1e6)
    const inbox = await bench.open()
    const next = inbox.positions.find('g1/e1', '7')?.raw.next ?? 0
    expect(next, about).toBeGreaterThanOrEqual(committed)
    expect(next, about).toBeLessThanOrEqual(sent)
    expect(inbox.positions.find('g1/e1', '7')?.raw.committedNext ?? 0, about).toBe(next)
    if (inbox.first === 0) expect(await recomputed(inbox), about).toBe(inbox.positions.serialise(true))
    // Without the snapshot the log alone says the same.
    const held = (await readAll(inbox)).flatMap(({ entry }) => (entry.kind === 'batch' ? entry.pos : []))
    expect(held, about).toEqual(held.toSorted((a, b) => a - b))
    expect(new Set(held).size, about).toBe(held.length)
    if (random.chance(0.3)) await files.remove('/inbox/positions.json')
    sent = next
    committed = next
    if (random.chance(0.8)) files.cutAfter(random.below(60))
    try {
      for (let step = 0; step < 60; step++) {
        if (random.chance(0.1)) {
          inbox.append(loss(sent, sent + 3))
          sent += 3
          lost += 3
        }
        inbox.append(batch(sent++))
        if (random.chance(0.2)) await bench.time.advance(60)
        if (random.chance(0.05)) await inbox.trim(inbox.durableEnd)
        committed = inbox.positions.find('g1/e1', '7')?.raw.committedNext ?? 0
      }
      if (random.chance(0.3)) await inbox.close()
    } catch {
      // the power went
    }
    committed = inbox.positions.find('g1/e1', '7')?.raw.committedNext ?? 0
    files.crash()
  }
  expect(lost, about).toBeGreaterThanOrEqual(0)
}
