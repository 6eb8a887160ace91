import { existsSync } from 'node:fs'
import type { EmbeddedHistorian } from '@penstock/gateway/historian/embedded.ts'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { historianSuite } from '../../suites/historian.ts'
import { ManualTime } from '../../support/manual-time.ts'
import { flow, good, makeFolder, openTestHistorian, RememberedInbox, startTime } from './support.ts'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 40)

let folder: string
let remove: () => void
beforeEach(() => {
  const made = makeFolder()
  folder = made.folder
  remove = made.remove
})
afterEach(() => remove())

historianSuite(async () => {
  const inbox = new RememberedInbox()
  const historian = openTestHistorian(folder)
  return {
    historian,
    store: readings => historian.apply([inbox.batch(readings)]),
    storeLive: readings => historian.apply([inbox.live(readings)]),
    close: () => historian.close(),
  }
})

const everything = async (historian: EmbeddedHistorian, tag = flow) =>
  (await historian.query(tag, -1e15, 1e15, 1e6)).readings.map(reading => reading.value)

/** Leaves the database as a kill leaves it: without the flush of a close. The copy is what the next process opens. */
function copyOf(from: string): { folder: string; remove: () => void } {
  const made = makeFolder()
  const db = new Database(`${from}/historian.sqlite`)
  db.exec(`VACUUM INTO '${made.folder}/historian.sqlite'`)
  db.close()
  return made
}

describe('crash', () => {
  it('between any two steps loses nothing and repeats nothing', async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant('batch' as const),
          tag: fc.nat({ max: 3 }),
          count: fc.integer({ min: 1, max: 120 }),
        }),
      },
      { weight: 2, arbitrary: fc.constant({ kind: 'minutes' as const }) },
      { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const }) },
      { weight: 2, arbitrary: fc.constant({ kind: 'kill' as const }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
        const inbox = new RememberedInbox()
        const time = new ManualTime(startTime)
        const wanted = new Map<string, number[]>()
        let place = makeFolder()
        let historian = openTestHistorian(place.folder, { time })
        let serial = 0
        for (const one of steps) {
          if (one.kind === 'batch') {
            const tag = `s/d/t${one.tag}`
            const values = Array.from({ length: one.count }, () => serial++)
            wanted.set(tag, [...(wanted.get(tag) ?? []), ...values])
            await historian.apply([inbox.batch(values.map(value => good(tag, startTime + value, value)))])
          } else if (one.kind === 'minutes') await time.advance(400_000)
          else if (one.kind === 'flush') await historian.flush()
          else {
            const copy = copyOf(place.folder)
            await historian.close()
            place.remove()
            place = copy
            historian = openTestHistorian(place.folder, { time })
            await historian.apply(inbox.records.slice(historian.cursor))
          }
        }
        for (const [tag, values] of wanted) expect(await everything(historian, tag)).toEqual(values)
        const counted = new Database(`${place.folder}/historian.sqlite`)
        await historian.flush()
        const rows = counted.prepare('SELECT coalesce(sum(count), 0) AS readings FROM chunk').get() as {
          readings: number
        }
        counted.close()
        // Not only the answers: nothing lies twice in the chunks either.
        expect(rows.readings).toBe(serial)
        await historian.close()
        place.remove()
      }),
      { numRuns },
    )
  })

  it('of the machine keeps the cursor behind everything that is only in memory', async () => {
    const inbox = new RememberedInbox()
    const historian = openTestHistorian(folder)
    await historian.apply([inbox.batch([good('s/d/slow', startTime, 1)])])
    for (let index = 0; index < 600; index++)
      await historian.apply([inbox.batch([good(flow, startTime + index, index)])])
    expect(historian.cursor).toBe(0)
    await historian.flush()
    expect(historian.cursor).toBe(601)
    await historian.close()
  })
})

describe('embedded historian', () => {
  it('writes old tails by itself, so that the inbox can be trimmed, and fills small chunks up', async () => {
    const inbox = new RememberedInbox()
    const time = new ManualTime(startTime)
    const historian = openTestHistorian(folder, { time })
    for (let index = 0; index < 200; index++) {
      await historian.apply([inbox.batch([good(flow, startTime + index, index)])])
      await time.advance(120_000)
    }
    expect(historian.cursor).toBeGreaterThan(180)
    const db = new Database(`${folder}/historian.sqlite`, { readonly: true })
    expect(db.prepare('SELECT count(*) FROM chunk').pluck().get()).toBe(1)
    db.close()
    expect(await everything(historian)).toEqual(Array.from({ length: 200 }, (_, index) => index))
    await historian.close()
  })

  it('leaves young tails to grow while the inbox has room, and writes all when it stops', async () => {
    const inbox = new RememberedInbox()
    let share = 0.1
    const historian = openTestHistorian(folder, { inboxShare: () => share })
    await historian.apply([inbox.batch([good(flow, startTime, 1)])])
    await historian.flush()
    expect(historian.cursor).toBe(0)
    share = 0.3
    await historian.flush()
    expect(historian.cursor).toBe(1)
    share = 0
    await historian.apply([inbox.batch([good(flow, startTime + 1, 2)])])
    await historian.close()
    const again = openTestHistorian(folder)
    expect(again.cursor).toBe(2)
    expect(await everything(again)).toEqual([1, 2])
    await again.close()
  })

  it('fills up its own chunk only, also when retention has deleted that and others came after it', async () => {
    const inbox = new RememberedInbox()
    const time = new ManualTime(startTime)
    const historian = openTestHistorian(folder, { time, rawDays: 1 })
    await historian.apply([inbox.batch([good(flow, startTime, 1)])])
    await historian.flush()
    time.jump(2 * 86_400_000)
    await historian.houseKeeping()
    await historian.apply([inbox.batch([good('s/d/other', time.now(), 5)])])
    await historian.flush()
    await historian.apply([inbox.batch([good(flow, time.now(), 2)])])
    await historian.flush()
    expect(await everything(historian)).toEqual([2])
    expect(await everything(historian, 's/d/other')).toEqual([5])
    await historian.close()
  })

  it('bounds its memory: the oldest tails are written early', async () => {
    const inbox = new RememberedInbox()
    const historian = openTestHistorian(folder, { maxTailReadings: 1_000 })
    for (let index = 0; index < 300; index++) {
      const readings = Array.from({ length: 50 }, (_, tag) => good(`s/d/t${tag}`, startTime + index, index))
      await historian.apply([inbox.batch(readings)])
      expect(historian.stats.tailReadings).toBeLessThanOrEqual(1_050)
    }
    expect(await everything(historian, 's/d/t7')).toHaveLength(300)
    await historian.close()
  })

  it('says how far it has come, so that an inbox that was put back numbers on from there', async () => {
    const inbox = new RememberedInbox()
    const historian = openTestHistorian(folder)
    await historian.apply([inbox.batch([good('s/d/slow', startTime, 1)])])
    await historian.apply([
      inbox.batch(Array.from({ length: 256 * 70 }, (_, index) => good(`s/d/t${index % 70}`, startTime + index, index))),
    ])
    await historian.apply([inbox.batch([good('s/d/slow', startTime + 1, 1)])])
    expect(historian.cursor).toBe(0)
    expect(historian.reach).toBe(2)
    await historian.close()
  })

  it('takes records that come again after a failure for what they are', async () => {
    const inbox = new RememberedInbox()
    const historian = openTestHistorian(folder)
    const first = inbox.batch([good(flow, startTime, 1)])
    const second = inbox.batch([good(flow, startTime + 1, 2)])
    await historian.apply([first, second])
    await historian.apply([first])
    await historian.flush()
    expect(historian.cursor).toBe(2)
    expect(await everything(historian)).toEqual([1, 2])
    await historian.close()
  })

  it('tells 0 from −0, and a Boolean from a number', async () => {
    const inbox = new RememberedInbox()
    const historian = openTestHistorian(folder)
    await historian.apply([
      inbox.batch([good(flow, startTime, 0), good(flow, startTime, -0), good(flow, startTime, false)]),
    ])
    expect(await everything(historian)).toEqual([0, -0, false])
    await historian.close()
  })

  it('leaves nothing out between pages when a chunk reaches over the next one', async () => {
    const inbox = new RememberedInbox()
    const historian = openTestHistorian(folder)
    const at = (index: number) => good(flow, startTime + index, index)
    await historian.apply([inbox.batch([...Array.from({ length: 256 }, (_, index) => at(index)), at(1_000)])])
    await historian.flush()
    await historian.apply([inbox.batch(Array.from({ length: 256 }, (_, index) => at(256 + index)))])
    await historian.flush()
    const values: unknown[] = []
    for (let from: number | null = 0; from !== null; ) {
      const page: Awaited<ReturnType<EmbeddedHistorian['query']>> = await historian.query(flow, from, 1e15, 256)
      values.push(...page.readings.map(reading => reading.value))
      from = page.next
    }
    expect(values).toEqual([...Array.from({ length: 512 }, (_, index) => index), 1_000])
    await historian.close()
  })

  it('does not store the names of retired tags that a birth lists', async () => {
    const historian = openTestHistorian(folder)
    const retired = { ...good(flow, startTime, null), quality: 'bad' as const, reason: 'retired' as const }
    await historian.apply([new RememberedInbox().live([retired])])
    expect(await everything(historian)).toEqual([])
    await historian.close()
  })

  it('refuses data of a newer version', async () => {
    await openTestHistorian(folder).close()
    const db = new Database(`${folder}/historian.sqlite`)
    db.pragma('user_version = 99')
    db.close()
    expect(() => openTestHistorian(folder)).toThrow(/version 99/)
  })
})

const day = 86_400_000

describe('retention', () => {
  it('deletes whole chunks that are older than the days, and nothing younger', async () => {
    const inbox = new RememberedInbox()
    const time = new ManualTime(startTime)
    const historian = openTestHistorian(folder, { time, rawDays: 2 })
    for (let hour = 0; hour < 100; hour++) {
      const at = startTime + hour * 3_600_000
      time.jump(3_600_000)
      await historian.apply([inbox.batch(Array.from({ length: 256 }, (_, index) => good(flow, at + index, hour)))])
      await historian.flush()
    }
    await historian.houseKeeping()
    const left = (await historian.query(flow, 0, 1e15, 1e6)).readings
    const oldest = left[0]?.sourceTimestamp ?? 0
    expect(oldest).toBeGreaterThanOrEqual(time.now() - 2 * day - 3_600_000)
    expect(oldest).toBeLessThanOrEqual(time.now() - 2 * day + 3_600_000)
    await historian.close()
  })

  it('does not keep a stamp of the far future for ever', async () => {
    const inbox = new RememberedInbox()
    const time = new ManualTime(startTime)
    const historian = openTestHistorian(folder, { time, rawDays: 2 })
    await historian.apply([inbox.batch([good(flow, Date.UTC(2090, 0, 1), 1)])])
    await historian.flush()
    time.jump(3 * day)
    await historian.houseKeeping()
    expect(await everything(historian)).toEqual([])
    await historian.close()
  })

  it('gives up the oldest readings at 90 % of its bytes and says so', async () => {
    const inbox = new RememberedInbox()
    const time = new ManualTime(startTime)
    const historian = openTestHistorian(folder, { time, maxBytes: 600_000 })
    let serial = 0
    for (let round = 0; round < 40; round++) {
      const readings = Array.from({ length: 256 * 10 }, () =>
        good(flow, startTime + serial * 1000, Math.random() + serial++),
      )
      await historian.apply([inbox.batch(readings)])
      await historian.flush()
      await historian.houseKeeping()
      expect(historian.storageState()).not.toBe('full')
    }
    expect(historian.bytes).toBeLessThan(600_000 * 0.92)
    expect(historian.problem()).toMatch(/deleted before their 35 days/)
    const left = (await historian.query(flow, 0, 1e15, 1e6)).readings
    expect(left.at(-1)?.sourceTimestamp).toBe(startTime + (serial - 1) * 1000)
    expect(left.length).toBeGreaterThan(10_000)
    await historian.close()
  })

  it('reports full at 97 %, and recovers when there is room again', async () => {
    const inbox = new RememberedInbox()
    const time = new ManualTime(startTime)
    let free = 2 ** 40
    const historian = openTestHistorian(folder, { time, freeBytes: () => free })
    await historian.apply([
      inbox.batch(Array.from({ length: 50_000 }, (_, index) => good(flow, startTime + index, Math.random()))),
    ])
    await historian.flush()
    await historian.houseKeeping()
    expect(historian.storageState()).toBe('ok')
    expect(existsSync(`${folder}/reserve`)).toBe(true)
    free = 1_000
    await historian.houseKeeping()
    // All raw readings went, and still there is no room: somebody else fills the disk.
    expect(historian.storageState()).toBe('full')
    expect(historian.problem()).toMatch(/nothing is confirmed/)
    free = 2 ** 40
    await historian.houseKeeping()
    expect(historian.storageState()).toBe('ok')
    await historian.close()
  })

  it('keeps what it cannot write, says full, and writes it later', async () => {
    const inbox = new RememberedInbox()
    const time = new ManualTime(startTime)
    const historian = openTestHistorian(folder, { time })
    await historian.apply([inbox.batch([good(flow, startTime, 1)])])
    await historian.flush()
    const blocker = new Database(`${folder}/historian.sqlite`)
    blocker.pragma('journal_mode = WAL')
    blocker.exec(`CREATE TRIGGER stop BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'no room'); END`)
    await historian.apply([inbox.batch([good(flow, startTime + 1, 2)])])
    await expect(historian.flush()).rejects.toMatchObject({ code: 'disk-full' })
    expect(historian.storageState()).toBe('full')
    expect(historian.cursor).toBe(1)
    expect(await everything(historian)).toEqual([1, 2])
    blocker.exec('DROP TRIGGER stop')
    blocker.close()
    await historian.flush()
    expect(historian.storageState()).toBe('ok')
    expect(historian.cursor).toBe(2)
    expect(await everything(historian)).toEqual([1, 2])
    await historian.close()
  })
})

describe('minutes and hours', () => {
  it('are the same before and after they are computed, and outlive the readings', async () => {
    const inbox = new RememberedInbox()
    const time = new ManualTime(startTime)
    const historian = openTestHistorian(folder, { time, rawDays: 3 })
    const readings = Array.from({ length: 4_000 }, (_, index) =>
      good(flow, startTime + index * 20_000, Math.sin(index)),
    )
    for (let index = 0; index < readings.length; index += 100)
      await historian.apply([inbox.batch(readings.slice(index, index + 100))])
    await historian.apply([inbox.batch([{ ...good(flow, startTime + 5, null), quality: 'bad', reason: 'timeout' }])])
    await historian.flush()
    const range = [startTime, startTime + 4_000 * 20_000] as const
    const before = {
      minutes: await historian.trend(flow, ...range, 60_000),
      hours: await historian.trend(flow, ...range, 3_600_000),
    }
    expect(before.minutes).toHaveLength(1334)
    expect(before.hours.reduce((sum, bucket) => sum + bucket.count, 0)).toBe(4_000)
    expect(before.minutes[0]).toEqual({
      start: startTime,
      count: 3,
      mean: (Math.sin(0) + Math.sin(1) + Math.sin(2)) / 3,
      min: 0,
      max: Math.sin(2),
      last: Math.sin(2),
    })
    time.jump(2 * day)
    await historian.houseKeeping()
    expect({
      minutes: await historian.trend(flow, ...range, 60_000),
      hours: await historian.trend(flow, ...range, 3_600_000),
    }).toEqual(before)
    time.jump(10 * day)
    await historian.houseKeeping()
    expect(await everything(historian)).toEqual([])
    expect(await historian.trend(flow, ...range, 60_000)).toEqual(before.minutes)
    time.jump(500 * day)
    await historian.houseKeeping()
    expect(await historian.trend(flow, ...range, 60_000)).toEqual([])
    expect(await historian.trend(flow, ...range, 3_600_000)).toEqual(before.hours)
    await historian.close()
  })

  it('are computed again when late readings come', async () => {
    const inbox = new RememberedInbox()
    const time = new ManualTime(startTime)
    const historian = openTestHistorian(folder, { time })
    await historian.apply([inbox.batch([good(flow, startTime, 10)])])
    await historian.flush()
    time.jump(5 * day)
    await historian.houseKeeping()
    await historian.apply([inbox.batch([good(flow, startTime + 1, 20)])])
    await historian.flush()
    const wanted = [{ start: startTime, count: 2, mean: 15, min: 10, max: 20, last: 20 }]
    expect(await historian.trend(flow, startTime, startTime + day, 60_000)).toEqual(wanted)
    await historian.houseKeeping()
    expect(await historian.trend(flow, startTime, startTime + day, 60_000)).toEqual(wanted)
    await historian.close()
  })
})
