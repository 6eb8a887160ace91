import { silentLogger } from '@penstock/core/runtime/log.ts'
import { ConsumerRunner } from '@penstock/gateway/consumer-runner.ts'
import { Inbox } from '@penstock/gateway/ingest/inbox.ts'
import { describe, expect, it } from 'vitest'
import { FaultyFiles, seeded } from '../../support/faulty-files.ts'
import { ManualTime } from '../../support/manual-time.ts'
import { MemoryConsumer } from './harness.ts'

class Bench {
  readonly time = new ManualTime(1_000)
  readonly files = new FaultyFiles(seeded(1))
  readonly consumers: MemoryConsumer[]

  constructor(...names: string[]) {
    this.consumers = names.map(name => new MemoryConsumer(name))
  }

  async open(
    options: { recentBytes?: number; maxBytes?: number } = {},
  ): Promise<{ inbox: Inbox; runner: ConsumerRunner }> {
    const { files, time, consumers } = this
    const sizes = { segmentBytes: 2_048, maxBytes: 2 ** 20, ...options }
    const inbox = await Inbox.open({ folder: '/inbox', files, ticker: time, log: silentLogger, ...sizes })
    return { inbox, runner: new ConsumerRunner({ inbox, consumers, ticker: time, log: silentLogger }) }
  }
}

const ticksOf = (consumer: MemoryConsumer | undefined): number[] =>
  consumer?.applied.flatMap(({ entry }) => (entry.kind === 'tick' ? entry.at : [])) ?? []
const upTo = (end: number, from = 0): number[] => Array.from({ length: end - from }, (_, index) => from + index)

describe('the consumer runner', () => {
  it('gives every consumer every record once, in order, the first one first', async () => {
    const bench = new Bench('a', 'b')
    const { inbox, runner } = await bench.open()
    await runner.start()
    const order: string[] = []
    for (const consumer of bench.consumers) {
      const apply = consumer.apply.bind(consumer)
      consumer.apply = async records => {
        order.push(...records.map(({ position }) => `${consumer.name}${position}`))
        await apply(records)
      }
    }
    for (let at = 0; at < 1_200; at++) {
      inbox.append({ kind: 'tick', at })
      if (at % 100 === 0) await bench.time.advance(60)
    }
    await bench.time.advance(1_000)
    expect(bench.consumers.map(ticksOf)).toEqual([upTo(1_200), upTo(1_200)])
    for (const record of order.filter(name => name.startsWith('b'))) {
      expect(order.indexOf(record.replace('b', 'a'))).toBeLessThan(order.indexOf(record))
    }
    expect(runner.caughtUp()).toBe(true)
  })

  it('starts each where it stopped, from the disk', async () => {
    const bench = new Bench('a', 'b')
    const first = await bench.open()
    for (let at = 0; at < 100; at++) first.inbox.append({ kind: 'tick', at })
    await first.inbox.close()
    const [a, b] = bench.consumers
    if (a) a.cursor = 90
    const { runner } = await bench.open()
    await runner.start()
    expect(ticksOf(a)).toEqual(upTo(100, 90))
    expect(ticksOf(b)).toEqual(upTo(100))
  })

  it('retries a failing consumer with back-off and shows it, while the others go on', async () => {
    const bench = new Bench('a', 'b', 'c')
    const { inbox, runner } = await bench.open({ recentBytes: 100 })
    await runner.start()
    const [a, b, c] = bench.consumers
    if (b) b.fails = new Error('the database is locked')
    for (let at = 0; at < 300; at++) inbox.append({ kind: 'tick', at })
    await bench.time.advance(200)
    expect(ticksOf(a)).toEqual(upTo(300))
    expect(ticksOf(c)).toEqual(upTo(300))
    expect(runner.caughtUp()).toBe(false)
    expect(runner.status()[1]).toMatchObject({ name: 'b', failing: 'the database is locked', failures: 1, applied: 0 })
    await bench.time.advance(20_000)
    expect(runner.status()[1]?.failures).toBe(5)
    if (b) b.fails = null
    await bench.time.advance(60_000)
    expect(ticksOf(b)).toEqual(upTo(300))
    expect(runner.status()[1]).toMatchObject({ failing: null, failures: 0, behind: 0 })
  })

  it('does not wait for a failing consumer at the start', async () => {
    const bench = new Bench('a', 'b')
    const first = await bench.open()
    first.inbox.append({ kind: 'tick', at: 0 })
    await first.inbox.close()
    const [a, b] = bench.consumers
    if (a) a.fails = new Error('no')
    const { runner } = await bench.open()
    await runner.start()
    expect(ticksOf(b)).toEqual([0])
  })

  it('keeps what a slow consumer still needs, and drops segments when it has flushed', async () => {
    const bench = new Bench('fast', 'slow')
    const [, slow] = bench.consumers
    const { inbox, runner } = await bench.open()
    await runner.start()
    if (slow) slow.fails = new Error('busy')
    for (let at = 0; at < 1_000; at++) {
      inbox.append({ kind: 'tick', at })
      if (at % 20 === 0) await bench.time.advance(60)
    }
    await bench.time.advance(100)
    expect(inbox.first).toBe(0)
    if (slow) {
      slow.fails = null
      slow.durableAtOnce = false
    }
    await bench.time.advance(70_000)
    await runner.trim()
    expect(ticksOf(slow)).toEqual(upTo(1_000))
    expect(inbox.first).toBeGreaterThan(500)
  })

  it('counts what the inbox no longer had', async () => {
    const bench = new Bench('a')
    const { inbox, runner } = await bench.open()
    for (let at = 0; at < 500; at++) {
      inbox.append({ kind: 'tick', at })
      if (at % 20 === 0) await bench.time.advance(60)
    }
    await bench.time.advance(100)
    await inbox.trim(300)
    const first = inbox.first
    await runner.start()
    expect(runner.status()[0]).toMatchObject({ missed: first })
    expect(ticksOf(bench.consumers[0])[0]).toBeGreaterThanOrEqual(first - 40)
    expect(ticksOf(bench.consumers[0]).at(-1)).toBe(499)
  })

  it('applies and flushes everything when it is closed', async () => {
    const bench = new Bench('a')
    const [a] = bench.consumers
    if (a) a.durableAtOnce = false
    const { inbox, runner } = await bench.open()
    await runner.start()
    for (let at = 0; at < 10; at++) inbox.append({ kind: 'tick', at })
    await inbox.commit()
    await runner.close()
    await runner.close()
    expect(a?.cursor).toBe(10)
    inbox.append({ kind: 'tick', at: 10 })
    await bench.time.advance(100)
    expect(a?.applied).toHaveLength(10)
  })
})
