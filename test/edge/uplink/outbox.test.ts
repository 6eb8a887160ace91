import type { BatchReading, DeclaredLoss } from '@penstock/core/delivery/batch.ts'
import type { DeliveryClass } from '@penstock/core/reading.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import type { HeldRecord } from '@penstock/edge/uplink/class-log.ts'
import { Outbox } from '@penstock/edge/uplink/outbox.ts'
import type { OutboxLimits, OutboxOptions } from '@penstock/edge/uplink/outbox-options.ts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Process } from '../../delivery/process.ts'
import { FaultyFiles } from '../../support/faulty-files.ts'
import { ManualTime, turn } from '../../support/manual-time.ts'
import { SeededRandom } from '../../support/random.ts'

const startMs = Date.UTC(2026, 10, 21)
const limits: OutboxLimits = { maxBytes: 1024 * 1024, segmentBytes: 16 * 1024, syncMs: 250, maxAgeMs: 0 }

class Box {
  readonly time = new ManualTime(startMs)
  readonly random: SeededRandom
  readonly files: FaultyFiles
  boot = 'boot-1'
  bootedAt = startMs
  counter = 0
  #process: Process | undefined

  constructor(seed = 1) {
    this.random = new SeededRandom(seed)
    this.files = new FaultyFiles(this.random.next)
  }

  die(): void {
    this.#process?.die()
  }

  /** A new process; the one before is dead. */
  open(more: Partial<OutboxOptions> = {}): Promise<Outbox> {
    this.#process?.die()
    const process = new Process({
      ...{ time: this.time, disk: this.files, random: this.random, clockOffsetMs: 0, syncMs: 0 },
      ...{ dieAtOperation: null, onDeath: () => {} },
    })
    this.#process = process
    return Outbox.open({
      ...{
        files: process.files,
        folder: '/o',
        clock: process.clock,
        ticker: process.ticker,
        log: silentLogger,
        limits,
      },
      ...{ random: this.random.next, hardwareId: 'box-1', trust: 'trusted', describe: () => undefined },
      boot: { id: this.boot, monotonicMs: () => this.time.now() - this.bootedAt },
      ...more,
    })
  }

  /** Each batch has a number of its own as value. */
  append(outbox: Outbox, name: DeliveryClass = 'raw', more: { durable?: () => void; text?: string } = {}): number {
    const value = this.counter++
    outbox.append(
      {
        ...{ class: name, device: 'plant:fm-1', bootId: this.boot },
        readings: [
          {
            ...{ tag: `plant/fm-1/${name}`, quality: 'good', reason: null },
            ...(more.text === undefined
              ? { type: 'Double', value }
              : { type: 'String', value: `${value} ${more.text}` }),
            ...{ sourceTimestamp: this.time.now(), monotonicMs: this.time.now() - this.bootedAt },
          },
        ],
      },
      more.durable,
    )
    return value
  }
}

/** Everything of a class from `from` on that may be published. */
async function readAll(outbox: Outbox, name: DeliveryClass, from = 0): Promise<HeldRecord[]> {
  const records: HeldRecord[] = []
  for (let at = from, waits = 0; waits < 100; ) {
    const found = outbox.of(name).take(at)
    if (found === null) return records
    if (found === 'loading') {
      waits++
      await turn()
      continue
    }
    records.push(found)
    at = found.position + 1
  }
  throw new Error('never loaded')
}

const valuesOf = (records: readonly HeldRecord[]) => records.map(({ batch }) => batch.readings[0]?.value)

async function lossesOf(outbox: Outbox): Promise<DeclaredLoss[]> {
  const records = await readAll(outbox, 'alarm')
  return records
    .flatMap(({ batch }) => batch.readings)
    .filter(({ tag }) => tag === 'Delivery/Loss')
    .map(({ value }) => JSON.parse(String(value)))
}

describe('rule 1: what is durable, and when', () => {
  test('class alarm is synced at once, the others within syncMs', async () => {
    const box = new Box()
    const outbox = await box.open()
    const done: string[] = []
    for (const name of ['raw', 'total', 'alarm'] as const) box.append(outbox, name, { durable: () => done.push(name) })
    await turn()
    expect(done).toEqual(['alarm'])
    expect(outbox.of('raw').take(0)).toBeNull()
    await box.time.advance(249)
    expect(done).toEqual(['alarm'])
    await box.time.advance(1)
    expect(done.toSorted()).toEqual(['alarm', 'raw', 'total'])
    expect(outbox.of('raw').durableEnd).toBe(1)
  })

  test('256 KiB are synced without waiting', async () => {
    const box = new Box()
    const outbox = await box.open({ limits: { ...limits, maxBytes: 64 * 2 ** 20, syncMs: 10_000 } })
    for (let index = 0; index < 30; index++) box.append(outbox, 'raw', { text: 'x'.repeat(10 * 1024) })
    await turn()
    await turn()
    expect(outbox.of('raw').durableEnd).toBeGreaterThanOrEqual(26)
  })

  test('`durable` is called once, after the sync that covers the batch, also when the first try fails', async () => {
    const box = new Box()
    const outbox = await box.open()
    let called = 0
    box.files.fail('sync', 'EIO')
    box.append(outbox, 'alarm', { durable: () => called++ })
    await box.time.advance(500)
    expect(called).toBe(0)
    expect(outbox.diskProblem).not.toBeNull()
    await box.time.advance(1_000)
    expect(called).toBe(1)
    expect(outbox.diskProblem).toBeNull()
    await box.time.advance(5_000)
    expect(called).toBe(1)
  })

  test('more than 500 readings are more than one batch, durable together', async () => {
    const box = new Box()
    const outbox = await box.open()
    let durable = 0
    const reading: Omit<BatchReading, 'value'> = {
      ...{ tag: 'plant/fm-1/a', quality: 'good', reason: null, sourceTimestamp: startMs, monotonicMs: 0 },
      type: 'Double',
    }
    const readings = Array.from({ length: 1_201 }, (_, value) => ({ ...reading, value }))
    outbox.append({ class: 'raw', device: 'plant:fm-1', bootId: 'boot-1', readings }, () => durable++)
    await box.time.advance(300)
    expect((await readAll(outbox, 'raw')).map(({ batch }) => batch.readings.length)).toEqual([500, 500, 201])
    expect(durable).toBe(1)
  })
})

describe('crashes', () => {
  test('a power cut at every single operation: what was durable is there, in order, and nothing else is made up', async () => {
    let operations = 0
    const run = async (cutAt: number, seed: number): Promise<boolean> => {
      const box = new Box(seed)
      const before = box.files.operations
      box.files.cutAfter(cutAt)
      const durable: number[] = []
      const appended: number[] = []
      try {
        const outbox = await box.open()
        for (let index = 0; index < 12; index++) {
          const value = box.append(outbox, 'alarm', { durable: () => durable.push(value) })
          appended.push(value)
          await turn()
          if (index === 6) outbox.confirm('alarm', 3, null)
          await box.time.advance(300)
        }
        await outbox.close()
      } catch {
        // the power went while opening
      }
      operations = Math.max(operations, box.files.operations - before)
      box.files.crash()
      const again = await box.open()
      const found = valuesOf(await readAll(again, 'alarm'))
      expect(found).toEqual(appended.slice(0, found.length))
      expect(found.length).toBeGreaterThanOrEqual(durable.length)
      expect(again.of('alarm').cursor).toBeLessThanOrEqual(3)
      // and it goes on from there
      box.append(again, 'alarm')
      await turn()
      expect((await readAll(again, 'alarm')).length).toBe(found.length + 1)
      await again.close()
      expect(box.files.openFiles).toBe(0)
      return durable.length === 12
    }
    for (let cutAt = 0; ; cutAt++) if ((await run(cutAt, cutAt + 1)) && cutAt > operations) break
    expect(operations).toBeGreaterThan(30)
  })

  test('after a loss of the cursor everything held is unconfirmed again; nothing is lost', async () => {
    const box = new Box()
    const outbox = await box.open()
    for (let index = 0; index < 5; index++) box.append(outbox, 'alarm')
    await turn()
    outbox.confirm('alarm', 4, 99)
    await outbox.close()
    const kept = await box.open()
    expect(kept.of('alarm')).toMatchObject({ cursor: 4, tail: 99 })
    const epoch = kept.identity.epoch
    await kept.close()
    await box.files.remove('/o/cursors')
    const again = await box.open()
    expect(again.of('alarm')).toMatchObject({ cursor: 0, tail: null })
    expect(again.identity.epoch).toBe(epoch)
    expect(valuesOf(await readAll(again, 'alarm'))).toEqual([0, 1, 2, 3, 4])
  })

  test('the newest of several cursors counts', async () => {
    const box = new Box()
    const outbox = await box.open()
    for (let index = 0; index < 5; index++) box.append(outbox, 'alarm')
    await turn()
    for (const cursor of [1, 3]) {
      outbox.confirm('alarm', cursor, null)
      await box.time.advance(1_500)
    }
    const again = await box.open()
    expect(again.of('alarm').cursor).toBe(3)
  })

  test('a torn line of the cursor is passed over', async () => {
    const box = new Box()
    const outbox = await box.open()
    for (let index = 0; index < 5; index++) box.append(outbox, 'alarm')
    await turn()
    outbox.confirm('alarm', 2, null)
    await box.time.advance(1_000)
    outbox.confirm('alarm', 4, null)
    await outbox.close()
    box.files.damage('/o/cursors', content => content.fill(0, content.length - 9))
    const again = await box.open()
    expect(again.of('alarm').cursor).toBe(2)
  })

  test('the cursor is written at most once a second, and never synced', async () => {
    const box = new Box()
    const outbox = await box.open()
    for (let index = 0; index < 20; index++) box.append(outbox, 'alarm')
    await turn()
    const { syncs, folderSyncs, operations } = box.files
    for (let index = 0; index < 20; index++) {
      outbox.confirm('alarm', index, null)
      await box.time.advance(100)
    }
    expect(box.files.syncs).toBe(syncs)
    expect(box.files.folderSyncs).toBe(folderSyncs)
    expect(box.files.operations - operations).toBeLessThanOrEqual(5)
  })
})

describe('epoch', () => {
  const epochAfter = async (change: (box: Box) => Promise<Partial<OutboxOptions>>) => {
    const box = new Box()
    const first = await box.open()
    for (let index = 0; index < 5; index++) box.append(first, 'alarm')
    await turn()
    first.confirm('alarm', 3, null)
    const before = first.identity.epoch
    await first.close()
    const again = await box.open(await change(box))
    const values = valuesOf(await readAll(again, 'alarm', again.of('alarm').cursor))
    return { changed: again.identity.epoch !== before, base: again.identity.base.alarm, values, again }
  }

  test('stays over restarts', async () => {
    expect(await epochAfter(async () => ({}))).toMatchObject({ changed: false, base: 0, values: [3, 4] })
  })

  test('is new on other hardware, and unconfirmed batches are numbered from 0', async () => {
    const found = await epochAfter(async () => ({ hardwareId: 'box-2' }))
    expect(found).toMatchObject({ changed: true, base: 3, values: [3, 4] })
  })

  test('is new when its file is gone, and in a new folder', async () => {
    const gone = async (box: Box) => box.files.remove('/o/epoch.json').then(() => ({}))
    expect(await epochAfter(gone)).toMatchObject({ changed: true, base: 3, values: [3, 4] })
    expect(await epochAfter(async () => ({ folder: '/p' }))).toMatchObject({ changed: true, base: 0, values: [] })
  })

  test('is new when a log ends before what was confirmed', async () => {
    const lost = async (box: Box) => {
      for (const path of box.files.paths) if (path.startsWith('/o/alarm/')) await box.files.remove(path)
      return {}
    }
    expect(await epochAfter(lost)).toMatchObject({ changed: true, base: 0, values: [] })
  })

  test('rule 9: `renew` numbers the unconfirmed from 0, and a power cut right after it changes nothing', async () => {
    const box = new Box(3)
    const outbox = await box.open()
    for (let index = 0; index < 5; index++) box.append(outbox, 'alarm')
    await turn()
    outbox.confirm('alarm', 2, 7)
    await outbox.renew()
    const { epoch } = outbox.identity
    expect(outbox.of('alarm').tail).toBeNull()
    box.files.crash()
    const again = await box.open()
    expect(again.identity.epoch).toBe(epoch)
    expect(again.identity.base.alarm).toBe(2)
    expect(again.of('alarm').cursor).toBe(2)
  })
})

describe('rule 8: bounds', () => {
  const small: OutboxLimits = { ...limits, maxBytes: 64 * 1024, segmentBytes: 4 * 1024 }

  test('full: the oldest of raw goes first, then total, then alarm; each loss is declared with its times', async () => {
    const box = new Box()
    const outbox = await box.open({ limits: small })
    const rounds = 800
    for (let index = 0; index < rounds; index++) {
      for (const name of ['raw', 'total', 'alarm'] as const) box.append(outbox, name, { text: 'x'.repeat(40) })
      await box.time.advance(1_000)
      expect(outbox.bytes).toBeLessThan(small.maxBytes + 8 * 1024)
    }
    const held = (name: DeliveryClass) => rounds - outbox.of(name).first
    expect(held('raw')).toBeLessThan(100)
    expect(held('total')).toBeLessThan(100)
    const losses = await lossesOf(outbox)
    expect(losses.length).toBeGreaterThan(0)
    expect(outbox.of('alarm').first).toBeGreaterThan(0)
    for (const { class: name, from, to, firstMs, lastMs, reason } of losses.filter(loss => loss.class === 'raw')) {
      expect(reason).toBe('outbox-full')
      expect(name === 'raw' && firstMs).toBe(startMs + from * 1_000)
      expect(lastMs).toBe(startMs + (to - 1) * 1_000)
    }
    // one after the other, without a gap, up to what is held
    const raw = losses.filter(loss => loss.class === 'raw')
    for (const [index, loss] of raw.entries()) if (index > 0) expect(loss.from).toBe(raw[index - 1]?.to)
    expect(raw.at(-1)?.to).toBe(outbox.of('raw').first)
    expect(outbox.counters.raw.lost).toBe(outbox.of('raw').first)
  })

  test('raw alone is dropped while there is raw to drop', async () => {
    const box = new Box()
    const outbox = await box.open({ limits: small })
    for (let index = 0; index < 100; index++) box.append(outbox, 'total', { text: 'x'.repeat(40) })
    for (let index = 0; index < 1_500; index++) {
      box.append(outbox, 'raw', { text: 'x'.repeat(40) })
      if (index % 10 === 0) await box.time.advance(300)
    }
    await box.time.advance(1_000)
    expect(outbox.of('total').first).toBe(0)
    expect(outbox.of('raw').first).toBeGreaterThan(500)
  })

  test('what is confirmed goes before anything is lost', async () => {
    const box = new Box()
    const outbox = await box.open({ limits: small })
    for (let index = 0; index < 2_000; index++) {
      box.append(outbox, 'raw', { text: 'x'.repeat(40) })
      await turn()
      if (index % 10 !== 0) continue
      await box.time.advance(300)
      outbox.confirm('raw', outbox.of('raw').durableEnd, null)
    }
    expect(await lossesOf(outbox)).toEqual([])
    expect(outbox.counters.raw.lost).toBe(0)
    expect(outbox.bytes).toBeLessThan(small.maxBytes)
  })

  test('rule 5: confirmed segments stay while the class uses less than 20 % of its bytes', async () => {
    const box = new Box()
    const outbox = await box.open({ limits: { ...small, maxBytes: 640 * 1024 } })
    for (let index = 0; index < 4_000; index++) {
      box.append(outbox, 'raw', { text: 'x'.repeat(40) })
      if (index % 20 !== 0) continue
      await box.time.advance(300)
      outbox.confirm('raw', outbox.of('raw').durableEnd, null)
    }
    await box.time.advance(1_000)
    const share = 640 * 1024 * 0.7 * 0.2
    expect(outbox.of('raw').bytes).toBeGreaterThan(share - 8 * 1024)
    expect(outbox.of('raw').bytes).toBeLessThan(share + 8 * 1024)
    expect(outbox.of('raw').first).toBeGreaterThan(0)
  })

  test('too old: dropped and declared', async () => {
    const box = new Box()
    const outbox = await box.open({ limits: { ...small, maxAgeMs: 3_600_000 } })
    for (let index = 0; index < 300; index++) {
      box.append(outbox, 'raw', { text: 'x'.repeat(40) })
      await box.time.advance(60_000)
    }
    const losses = await lossesOf(outbox)
    expect(losses[0]).toMatchObject({ class: 'raw', from: 0, reason: 'too-old', firstMs: startMs })
    const oldest = (await readAll(outbox, 'raw'))[0]?.batch.readings[0]?.sourceTimestamp ?? 0
    // whole segments go, so that some of the oldest may be older than the limit
    expect(box.time.now() - oldest).toBeLessThan(3_600_000 + 90 * 60_000)
    expect(box.time.now() - oldest).toBeGreaterThan(3_500_000)
  })

  test('an unreadable record is skipped, declared once, and what lies behind it is delivered', async () => {
    const box = new Box()
    const outbox = await box.open()
    for (let index = 0; index < 2_000; index++) box.append(outbox, 'raw', { text: 'y'.repeat(100) })
    await box.time.advance(300)
    await outbox.close()
    const [segment] = box.files.paths.filter(path => path.startsWith('/o/raw/'))
    box.files.damage(segment ?? '', content => content.fill(0, 8_000, 8_300))
    const again = await box.open()
    const values = (await readAll(again, 'raw')).map(({ batch }) =>
      Number.parseInt(String(batch.readings[0]?.value), 10),
    )
    expect(values.length).toBeLessThan(2_000)
    expect(values.length).toBeGreaterThan(1_800)
    expect(values).toEqual(values.toSorted((a, b) => a - b))
    await turn()
    const losses = await lossesOf(again)
    expect(losses.map(({ reason }) => reason)).toEqual(losses.map(() => 'unreadable'))
    const missing = losses.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, at) => from + at))
    expect([...values, ...missing].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 2_000 }, (_, at) => at))
    await readAll(again, 'raw')
    await turn()
    expect(await lossesOf(again)).toHaveLength(losses.length)
  })
})

describe('disk full', () => {
  test('it drops by rule 8, says so, goes on, and never gives up', async () => {
    const box = new Box()
    const outbox = await box.open({ limits: { ...limits, segmentBytes: 4 * 1024 } })
    for (let index = 0; index < 200; index++) {
      box.append(outbox, 'raw', { text: 'x'.repeat(60) })
      await box.time.advance(300)
    }
    const free = 2_000
    box.files.free = free
    for (let index = 0; index < 300; index++) {
      box.append(outbox, index % 20 === 0 ? 'alarm' : 'raw', { text: 'x'.repeat(60) })
      await box.time.advance(300)
    }
    await box.time.advance(30_000)
    expect(outbox.of('raw').first).toBeGreaterThan(0)
    expect(outbox.counters.raw.lost).toBeGreaterThan(0)
    expect((await lossesOf(outbox)).some(({ reason }) => reason === 'outbox-full')).toBe(true)
    box.files.free = Number.POSITIVE_INFINITY
    await box.time.advance(30_000)
    expect(outbox.diskProblem).toBeNull()
    expect(outbox.of('raw').durableEnd).toBe(outbox.of('raw').end)
  })

  test('a disk that takes nothing at all: memory is bounded, and what was refused is said with its times', async () => {
    const box = new Box()
    const outbox = await box.open()
    box.files.free = 0
    const text = 'x'.repeat(100 * 1024)
    for (let index = 0; index < 100; index++) {
      box.append(outbox, 'raw', { text })
      await box.time.advance(100)
    }
    expect(outbox.diskProblem).toContain('no space left')
    expect(outbox.counters.raw.refused).toBeGreaterThan(50)
    expect(outbox.of('raw').end).toBeLessThan(50)
    box.files.free = Number.POSITIVE_INFINITY
    await box.time.advance(15_000)
    expect(outbox.diskProblem).toBeNull()
    const [loss] = (await lossesOf(outbox)).filter(({ from, to }) => from === to)
    expect(loss).toMatchObject({ class: 'raw', reason: 'outbox-full' })
    expect(loss?.firstMs).toBeGreaterThan(startMs + 3_000)
    expect(loss?.lastMs).toBe(startMs + 9_900)
  })

  test('a disk that fails is asked once a second, not at every reading', async () => {
    const box = new Box()
    const outbox = await box.open()
    box.files.fail('append', 'EIO', 1_000)
    const before = box.files.operations
    for (let index = 0; index < 100; index++) {
      box.append(outbox, 'alarm')
      await box.time.advance(50)
    }
    expect(outbox.diskProblem).not.toBeNull()
    expect(box.files.operations - before).toBeLessThan(40)
    box.files.heal()
    await box.time.advance(2_000)
    expect(outbox.of('alarm').durableEnd).toBe(100)
  })

  test('somebody else fills the disk: not everything is given away at once', async () => {
    const box = new Box()
    const outbox = await box.open({ limits: { ...limits, segmentBytes: 2 * 1024 } })
    for (let index = 0; index < 200; index++) {
      box.append(outbox, 'raw', { text: 'x'.repeat(60) })
      await box.time.advance(300)
    }
    const before = outbox.of('raw').first
    box.files.free = Number.NEGATIVE_INFINITY
    for (let index = 0; index < 20; index++) {
      box.append(outbox, 'raw')
      await box.time.advance(1_000)
    }
    const dropped = outbox.of('raw').first - before
    expect(dropped).toBeGreaterThan(0)
    expect(dropped).toBeLessThan(100)
  })
})

describe('logbook of data loggers', () => {
  const row = (box: Box, outbox: Outbox, number: bigint) =>
    outbox.append({
      ...{ class: 'total', device: 'plant:log-1', bootId: box.boot },
      readings: [
        {
          ...{ tag: 'plant/log-1/total', type: 'Int64', value: number * 10n, quality: 'good', reason: null },
          ...{ sourceTimestamp: startMs, monotonicMs: 0 },
        },
        {
          ...{ tag: 'plant/log-1/row', type: 'Int64', value: number, quality: 'good', reason: null },
          ...{ sourceTimestamp: startMs, monotonicMs: 0 },
        },
      ],
    })

  test('counts only what is durable, and knows it after a power cut', async () => {
    const box = new Box()
    const outbox = await box.open()
    expect(outbox.logbook.lastRow('plant:log-1')).toBeNull()
    row(box, outbox, 7n)
    expect(outbox.logbook.lastRow('plant:log-1')).toBeNull()
    await box.time.advance(300)
    expect(outbox.logbook.lastRow('plant:log-1')).toBe(7n)
    row(box, outbox, 8n)
    box.files.crash()
    const again = await box.open()
    expect([7n, 8n]).toContain(again.logbook.lastRow('plant:log-1'))
    expect(again.logbook.lastRow('plant:log-2')).toBeNull()
  })

  test('a row that came while a sync was running waits for the next one', async () => {
    const box = new Box()
    const outbox = await box.open()
    const held = outbox.of('total')
    const sync = held.sync.bind(held)
    row(box, outbox, 7n)
    held.sync = async () => {
      await sync()
      if (held.end === 1) row(box, outbox, 8n)
    }
    await box.time.advance(251)
    expect([held.durableEnd, outbox.logbook.lastRow('plant:log-1')]).toEqual([1, 7n])
    await box.time.advance(300)
    expect(outbox.logbook.lastRow('plant:log-1')).toBe(8n)
  })

  test('is known also when the records are gone long since', async () => {
    const box = new Box(5)
    const outbox = await box.open({ limits: { ...limits, maxBytes: 32 * 1024, segmentBytes: 2 * 1024 } })
    row(box, outbox, 41n)
    for (let index = 0; index < 500; index++) {
      box.append(outbox, 'total', { text: 'x'.repeat(60) })
      if (index % 10 === 0) await box.time.advance(300)
    }
    expect(outbox.of('total').first).toBeGreaterThan(1)
    box.files.crash()
    const again = await box.open()
    expect(again.logbook.lastRow('plant:log-1')).toBe(41n)
  })
})

test('random lives: crashes, kills, confirmations, overflow: nothing durable vanishes undeclared', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 2 ** 30 }),
      fc.array(fc.constantFrom('append', 'append', 'append', 'wait', 'confirm', 'crash', 'kill', 'close'), {
        maxLength: 60,
      }),
      async (seed, steps) => {
        const box = new Box(seed)
        const small = { ...limits, maxBytes: 48 * 1024, segmentBytes: 1_500 }
        let outbox = await box.open({ limits: small })
        const durable = new Set<number>()
        const delivered = new Set<number>()
        const gone: (readonly [number, number])[] = []
        const positions = new Map<number, number>()
        for (const step of steps) {
          const raw = outbox.of('raw')
          if (step === 'append') {
            for (let index = 0; index < 20; index++) {
              const value = box.append(outbox, 'raw', { text: 'z'.repeat(60), durable: () => durable.add(value) })
              positions.set(value, raw.end - 1)
            }
          } else if (step === 'wait') await box.time.advance(1_500)
          else if (step === 'confirm') {
            const records = (await readAll(outbox, 'raw', raw.cursor)).slice(0, 30)
            for (const { batch } of records) delivered.add(Number.parseInt(String(batch.readings[0]?.value), 10))
            const last = records.at(-1)
            if (last) outbox.confirm('raw', last.position + 1, last.crc)
          } else {
            if (step === 'close') await outbox.close()
            box.die()
            if (step === 'crash') box.files.crash()
            if (step === 'kill') box.files.kill()
            outbox = await box.open({ limits: small })
          }
          for (const { class: name, from, to } of await lossesOf(outbox)) if (name === 'raw') gone.push([from, to])
        }
        const held = new Set(
          (await readAll(outbox, 'raw')).map(({ batch }) => Number.parseInt(String(batch.readings[0]?.value), 10)),
        )
        for (const value of durable) {
          const position = positions.get(value) ?? -1
          const lost = gone.some(([from, to]) => position >= from && position < to)
          if (!held.has(value) && !delivered.has(value) && !lost) throw new Error(`${value} at ${position} vanished`)
        }
      },
    ),
    { numRuns: Number(process.env.PENSTOCK_RUNS ?? 40) },
  )
})
