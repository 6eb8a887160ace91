import type { Link, LinkOptions } from '@penstock/core/runtime/link.ts'
import { describe, expect, test } from 'vitest'
import { ManualTime, turn } from '../support/manual-time.ts'
import { type Faults, matches, Network, noFaults } from '../support/network.ts'
import { SeededRandom } from '../support/random.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

function setup(faults: Partial<Faults> = {}, seed = 1) {
  const time = new ManualTime()
  const network = new Network({ time, random: new SeededRandom(seed), faults: { ...noFaults, ...faults } })
  const open = async (
    clientId: string,
    heard: string[] = [],
    filters: string[] = [],
    qos: 0 | 1 = 0,
  ): Promise<Link> => {
    const options: LinkOptions = {
      clientId,
      will: { topic: `will/${clientId}`, payload: utf8('gone'), qos: 1, retain: false },
      onMessage: (topic, payload, { retain }) => heard.push(`${topic}=${Buffer.from(payload)}${retain ? ' r' : ''}`),
      signal: new AbortController().signal,
    }
    const connecting = network.connect(options)
    connecting.catch(() => {})
    await time.advance(network.isCut(clientId) ? 10_000 : 1000)
    const link = await connecting
    if (filters.length > 0) {
      const subscribing = link.subscribe(filters, qos)
      await time.advance(1000)
      await subscribing
    }
    return link
  }
  return { time, network, open }
}

const say = (link: Link, topic: string, text: string, qos: 0 | 1 = 0): void =>
  link.publish(topic, utf8(text), { qos, retain: false })

test.each([
  ['a/b', 'a/b', true],
  ['a/+', 'a/b', true],
  ['a/+', 'a/b/c', false],
  ['a/+', 'a', false],
  ['a/#', 'a/b/c', true],
  ['a/#', 'a', true],
  ['#', 'a/b', true],
  ['a/b', 'a/bc', false],
  ['+/b', 'a/b', true],
])('filter %s, topic %s: %s', (filter, topic, expected) => {
  expect(matches(filter, topic)).toBe(expected)
})

describe('a network without faults', () => {
  test('delivers in order with delay, once, also to the publisher', async () => {
    const { time, open } = setup({ delayMs: 20 })
    const heard: string[] = []
    const link = await open('x', heard, ['a/#', 'a/+'])
    for (let n = 0; n < 20; n++) say(link, 'a/n', String(n))
    expect(link.queuedBytes).toBe(30)
    await time.advance(1000)
    expect(heard).toEqual(Array.from({ length: 20 }, (_, n) => `a/n=${n}`))
    expect(link.queuedBytes).toBe(0)
  })

  test('keeps retained messages until an empty one', async () => {
    const { time, network, open } = setup()
    const link = await open('x')
    void link.publishConfirmed('state', utf8('on'), { retain: true })
    await time.advance(10)
    const heard: string[] = []
    await open('y', heard, ['state'])
    expect(heard).toEqual(['state=on r'])
    network.crash({ keepRetained: false })
    network.restart()
    const later: string[] = []
    await open('z', later, ['state'])
    expect(later).toEqual([])
  })

  test('wills: for the killed and the one that asks for it, not for a clean close', async () => {
    const { time, network, open } = setup()
    const heard: string[] = []
    await open('reader', heard, ['will/#'])
    const clean = await open('clean')
    void clean.close()
    const asks = await open('asks')
    void asks.close({ withWill: true })
    const killed = await open('killed')
    network.kill('killed')
    await time.advance(1000)
    expect(heard).toEqual(['will/asks=gone', 'will/killed=gone'])
    expect(await killed.ended).toBe('killed')
    expect(network.clients).toEqual(['reader'])
  })

  test('a second client with the same id takes over', async () => {
    const { time, open } = setup()
    const heard: string[] = []
    await open('reader', heard, ['will/#'])
    const first = await open('same')
    await open('same')
    await time.advance(10)
    expect(await first.ended).toMatch(/took over/)
    expect(heard).toEqual(['will/same=gone'])
  })
})

describe('faults', () => {
  test('QoS 0 is lost, repeated and late; QoS 1 is only repeated', async () => {
    const { time, open } = setup({ loss: 0.2, repeat: 0.2, late: 0.2, lateMs: 500, delayMs: 5 })
    const heard: string[] = []
    const reader = await open('reader')
    void reader.subscribe(['#'], 1)
    await time.advance(100)
    const all: string[] = []
    const listener = await open('listener', all)
    const subscribing = listener.subscribe(['#'], 1)
    await time.advance(100)
    await subscribing
    const writer = await open('writer')
    for (let n = 0; n < 300; n++) {
      say(writer, 'q0', String(n))
      say(writer, 'q1', String(n), 1)
      await time.advance(10)
    }
    await time.advance(2000)
    heard.push(...all.filter(text => text.startsWith('q0')))
    const unreliable = new Set(heard)
    expect(unreliable.size).toBeGreaterThan(200)
    expect(unreliable.size).toBeLessThan(299)
    expect(heard.length).toBeGreaterThan(unreliable.size + 20)
    expect(heard.map(text => Number(text.slice(3)))).not.toEqual(
      heard.map(text => Number(text.slice(3))).toSorted((a, b) => a - b),
    )
    const reliable = all.filter(text => text.startsWith('q1')).map(text => Number(text.slice(3)))
    expect(reliable).toEqual(reliable.toSorted((a, b) => a - b))
    expect(new Set(reliable).size).toBe(300)
  })

  test('a broker that crashes ends everything, publishes no will, and refuses until it is back', async () => {
    const { time, network, open } = setup()
    const link = await open('x')
    const waits = link.publishConfirmed('a', utf8('1'), { retain: false })
    network.crash({ keepRetained: true })
    await expect(waits).rejects.toThrow('broker')
    expect(await link.ended).toMatch(/closed/)
    const refused = open('x')
    await expect(refused).rejects.toThrow('ECONNREFUSED')
    network.restart()
    const heard: string[] = []
    await open('reader', heard, ['#'])
    await time.advance(1000)
    expect(heard).toEqual([])
  })

  test('a partition is noticed by the keep-alive of both sides; before it, what was written arrives after the healing', async () => {
    const { time, network, open } = setup()
    const heard: string[] = []
    await open('reader', heard, ['#'])
    const link = await open('x')
    network.partition('x')
    say(link, 'a', '1')
    await time.advance(20_000)
    expect(heard).toEqual([])
    network.heal('x')
    await time.advance(10)
    expect(heard).toEqual(['a=1'])

    network.partition('x')
    say(link, 'a', '2')
    let ended: string | undefined
    void link.ended.then(reason => {
      ended = reason
    })
    await time.advance(45_000)
    expect(ended).toBe('Keepalive timeout')
    expect(heard).toEqual(['a=1', 'will/x=gone'])
    await expect(open('x')).rejects.toThrow('no answer')
  })

  test('the same seed gives the same course of events', async () => {
    const run = async (seed: number): Promise<string[]> => {
      const { time, open } = setup({ loss: 0.3, repeat: 0.3, late: 0.3, lateMs: 300, delayMs: 30 }, seed)
      const heard: string[] = []
      const reader = await open('reader', heard)
      void reader.subscribe(['#'], 0)
      await time.advance(200)
      for (let n = 0; n < 50; n++) say(reader, 'n', String(n))
      await time.advance(2000)
      await turn()
      return heard
    }
    const [first, second, other] = [await run(7), await run(7), await run(8)]
    expect(second).toEqual(first)
    expect(other).not.toEqual(first)
  })
})
