import { type DurableLog, type LogRecord, openDurableLog } from '@penstock/core/runtime/durable-log.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FaultyFiles, seeded } from '../../support/faulty-files.ts'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 300)
const folder = '/data/log'

type Step =
  | { readonly do: 'append'; readonly count: number; readonly size: number; readonly names: number }
  | { readonly do: 'sync' | 'sync-twice' | 'append-during-sync' | 'kill' | 'close' | 'heal' }
  | { readonly do: 'trim'; readonly share: number }
  | { readonly do: 'skip'; readonly by: number }
  | {
      readonly do: 'fail'
      readonly operation: 'append' | 'sync' | 'open' | 'syncFolder' | 'remove' | 'truncate'
      readonly count: number
    }
  | { readonly do: 'full'; readonly free: number }
  | { readonly do: 'cut'; readonly after: number }
  | { readonly do: 'read'; readonly from: number; readonly records: number; readonly bytes: number }

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 12 }),
      size: fc.integer({ min: 0, max: 300 }),
      names: fc.integer({ min: 1, max: 30 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('sync' as const, 'sync-twice' as const, 'append-during-sync' as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('kill' as const, 'close' as const, 'heal' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('trim' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('skip' as const), by: fc.integer({ min: 0, max: 50 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      operation: fc.constantFrom(
        'append' as const,
        'sync' as const,
        'open' as const,
        'syncFolder' as const,
        'remove' as const,
        'truncate' as const,
      ),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('full' as const), free: fc.integer({ min: 0, max: 2000 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('cut' as const), after: fc.integer({ min: 0, max: 12 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      from: fc.double({ min: 0, max: 1, noNaN: true }),
      records: fc.integer({ min: 1, max: 40 }),
      bytes: fc.integer({ min: 1, max: 4000 }),
    }),
  },
)

interface Written {
  readonly text: string
  readonly name: string
  readonly crc: number
}

/** What must be true of the log, kept beside it. */
class World {
  readonly #files: FaultyFiles
  readonly #chain: boolean
  readonly #written = new Map<number, Written>()
  #log: DurableLog | null = null
  #count = 0
  #acknowledged = 0
  #kept = 0

  constructor(seed: number, chain: boolean) {
    this.#files = new FaultyFiles(seeded(seed))
    this.#chain = chain
  }

  async run(step: Step): Promise<void> {
    const log = this.#log ?? (await this.open())
    if (step.do === 'append') this.#append(log, step.count, step.size, step.names)
    else if (step.do === 'sync') await this.#sync(log)
    else if (step.do === 'sync-twice') await Promise.all([this.#sync(log), this.#sync(log)])
    else if (step.do === 'append-during-sync') {
      const running = this.#sync(log)
      this.#append(log, 2, 20, 40)
      await Promise.all([running, this.#sync(log)])
    } else if (step.do === 'heal') this.#heal()
    else if (step.do === 'trim') await this.#trim(log, Math.floor(step.share * (log.durableEnd + 2)))
    else if (step.do === 'skip') await this.#skip(log, log.end + step.by)
    else if (step.do === 'fail') this.#files.fail(step.operation, 'EIO', step.count)
    else if (step.do === 'full') this.#files.free = step.free
    else if (step.do === 'read') await this.#read(log, Math.floor(step.from * (log.durableEnd + 1)), step)
    else if (step.do === 'close') {
      this.#heal()
      await log.close()
      this.#acknowledged = log.end
      this.#log = null
    } else if (step.do === 'kill') {
      this.#heal()
      this.#files.kill()
      this.#log = null
    } else if (step.do === 'cut') {
      this.#files.cutAfter(step.after)
      this.#append(log, 5, 100, 10)
      await this.#sync(log)
      await this.#trim(log, log.durableEnd)
      await this.#sync(log)
      this.#files.crash()
      this.#files.free = Number.POSITIVE_INFINITY
      this.#log = null
    }
  }

  /** After whatever happened: all that was acknowledged, unaltered and in order, and nothing that was never written. */
  async open(): Promise<DurableLog> {
    const log = await openDurableLog({ folder, files: this.#files, segmentBytes: 2000, chain: this.#chain })
    this.#log = log
    expect(log.end).toBeGreaterThanOrEqual(this.#acknowledged)
    expect(log.pendingBytes).toBe(0)
    expect(log.durableEnd).toBe(log.end)
    for (const position of this.#written.keys()) if (position >= log.end) this.#written.delete(position)
    const found = await this.#everything(log)
    const positions = new Set(found.map(({ position }) => position))
    for (const position of this.#written.keys()) {
      if (position >= this.#kept) expect(positions).toContain(position)
    }
    this.#acknowledged = log.end
    expect(await log.verify()).toBeNull()
    return log
  }

  async finish(): Promise<void> {
    const log = this.#log ?? (await this.open())
    this.#heal()
    await log.sync()
    expect(log.durableEnd).toBe(log.end)
    expect((await this.#everything(log)).length).toBeGreaterThanOrEqual(
      this.#countFrom(Math.max(log.first, this.#kept)),
    )
    expect(await log.verify()).toBeNull()
    await log.close()
    expect(this.#files.openFiles).toBe(0)
  }

  #heal(): void {
    this.#files.heal()
    this.#files.free = Number.POSITIVE_INFINITY
  }

  #append(log: DurableLog, count: number, size: number, names: number): void {
    for (let i = 0; i < count; i++) {
      const number = this.#count++
      const name = `waterworks/fm-1/tag-${number % names}`
      const text = `${number} ${'.'.repeat(size)}`
      const end = log.end
      const { position, crc } = log.append(dictionary => Buffer.from(`${dictionary.idOf(name)} ${text}`))
      expect(position).toBe(end)
      this.#written.set(position, { text, name, crc })
    }
  }

  async #sync(log: DurableLog): Promise<void> {
    const { end } = log
    try {
      await log.sync()
    } catch {
      expect(log.end).toBeGreaterThanOrEqual(end)
      return
    }
    expect(log.durableEnd).toBeGreaterThanOrEqual(end)
    this.#acknowledged = Math.max(this.#acknowledged, end)
  }

  async #skip(log: DurableLog, position: number): Promise<void> {
    try {
      await log.skipTo(position)
    } catch {
      return
    }
    this.#acknowledged = Math.max(this.#acknowledged, position)
  }

  async #trim(log: DurableLog, before: number): Promise<void> {
    try {
      await log.trim(before)
      expect(
        log
          .segments()
          .slice(0, -1)
          .filter(({ end }) => end <= before),
      ).toEqual([])
    } catch (error) {
      // A removal may fail: then the segment stays.
      expect(error).toBeInstanceOf(PenstockError)
    }
    this.#kept = Math.max(this.#kept, before)
  }

  async #read(log: DurableLog, from: number, { records, bytes }: { records: number; bytes: number }): Promise<void> {
    this.#files.heal()
    const found = await log.read(from, records, bytes)
    this.#check(found, from)
    expect(found.length).toBeLessThanOrEqual(records)
    const wanted = [...this.#written.keys()].filter(p => p >= Math.max(from, log.first) && p < log.durableEnd)
    if (found.length === 0) expect(wanted).toEqual([])
    else expect(found.map(({ position }) => position)).toEqual(wanted.sort((a, b) => a - b).slice(0, found.length))
  }

  async #everything(log: DurableLog): Promise<LogRecord[]> {
    const all: LogRecord[] = []
    for (let from = log.first; ; ) {
      const some = await log.read(from, 7, 500)
      const last = some.at(-1)
      if (!last) break
      all.push(...some)
      from = last.position + 1
    }
    this.#check(all, log.first)
    expect(this.#files.openFiles).toBeLessThanOrEqual(11)
    return all
  }

  #check(found: readonly LogRecord[], from: number): void {
    let expected = from
    for (const { position, crc, body, entries } of found) {
      expect(position).toBeGreaterThanOrEqual(expected)
      expected = position + 1
      const [id, ...rest] = Buffer.from(body).toString().split(' ')
      expect({ position, crc, name: entries[Number(id)], text: rest.join(' ') }).toEqual({
        position,
        ...this.#written.get(position),
      })
    }
  }

  #countFrom(first: number): number {
    return [...this.#written.keys()].filter(position => position >= first).length
  }
}

test('whatever the disk does, exactly what was synced is there again, in order, unaltered, and the numbering goes on', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer(),
      fc.boolean(),
      fc.array(steps, { minLength: 1, maxLength: 40 }),
      async (seed, chain, list) => {
        const world = new World(seed, chain)
        for (const step of list) await world.run(step)
        await world.finish()
      },
    ),
    { numRuns },
  )
}, 120_000)
