import { openSimulator, type Simulator } from '@penstock/simulator/simulator.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualTime, turn } from '../support/manual-time.ts'
import { payload, RawClient, read } from './raw-client.ts'

let time: ManualTime
let city: Simulator
let client: RawClient

beforeEach(async () => {
  time = new ManualTime(Date.UTC(2026, 5, 15, 4))
  city = await openSimulator({ scenario: 'calm-day', clock: time, ticker: time })
  client = await RawClient.connect(city.port('waterworks'))
})

afterEach(async () => {
  client.close()
  await city.close()
})

const handled = () => city.sites.find(({ id }) => id === 'waterworks')?.requests ?? 0
const flow = read(3, 0, 2)
const site = 'waterworks'

describe('on the line of one device', () => {
  it('timeout: it does not answer, its neighbours do', async () => {
    const id = city.inject({ site, device: 'fm-1', kind: 'timeout' })
    expect(await client.tryAsk(1, flow, handled)).toBeNull()
    expect(await client.tryAsk(2, flow, handled)).not.toBeNull()
    expect(city.clear(id)).toBe(true)
    expect(await client.tryAsk(1, flow, handled)).not.toBeNull()
    expect(city.clear(id)).toBe(false)
  })

  it('late: it answers after the time given, under the old transaction', async () => {
    city.inject({ site, device: 'fm-1', kind: 'late', delayMs: 700 })
    const before = handled()
    client.send(client.frame(1, flow))
    while (handled() === before) await turn()
    await time.advance(699)
    expect(client.received).toBe(0)
    expect((await client.ask(2, flow)).readUInt16BE(0)).toBe(2)
    await time.advance(1)
    const answer = await client.bytes(13)
    expect([answer.readUInt16BE(0), answer[6]]).toEqual([1, 1])
  })

  it.each([1, 2, 3, 4, 6, 11] as const)('exception: it answers with exception %i', async code => {
    city.inject({ site, device: 'fm-1', kind: 'exception', code })
    expect([...(await client.ask(1, flow)).subarray(7)]).toEqual([0x83, code])
  })

  it('reset: it breaks the connection off', async () => {
    city.inject({ site, device: 'fm-1', kind: 'reset' })
    client.send(client.frame(1, flow))
    expect(await client.closed()).toBe('reset')
  })

  it('wrong-unit, wrong-transaction: it answers under another number', async () => {
    const unit = city.inject({ site, device: 'fm-1', kind: 'wrong-unit' })
    expect((await client.ask(1, flow))[6]).toBe(2)
    city.clear(unit)
    city.inject({ site, device: 'fm-1', kind: 'wrong-transaction' })
    expect((await client.ask(1, flow)).readUInt16BE(0)).toBe(3)
  })

  it('garbage: bytes that are no frame', async () => {
    city.inject({ site, device: 'fm-1', kind: 'garbage' })
    client.send(client.frame(1, flow))
    expect((await client.bytes(12)).readUInt16BE(2)).not.toBe(0)
  })

  it('truncated: the beginning of an answer and no end', async () => {
    city.inject({ site, device: 'fm-1', kind: 'truncated' })
    expect(await client.tryAsk(1, read(3, 0, 10), handled)).toBeNull()
    const part = client.take()
    expect(part.length).toBeGreaterThan(6)
    expect(part.length).toBeLessThan(6 + part.readUInt16BE(4))
  })
})

describe('on the line of a whole site', () => {
  it('half-open: it accepts, takes everything, answers nothing and does not hang up', async () => {
    const id = city.inject({ site, kind: 'half-open' })
    const other = await RawClient.connect(city.port(site))
    expect(await other.tryAsk(1, flow, handled)).toBeNull()
    expect(await client.tryAsk(11, flow, handled)).toBeNull()
    other.end()
    for (let turns = 0; turns < 20; turns++) await turn()
    expect(other.closedWith).toBeNull()
    city.clear(id)
    expect(await client.tryAsk(11, flow, handled)).not.toBeNull()
    const next = await RawClient.connect(city.port(site))
    expect(await other.closed()).toBe('end')
    next.close()
  })

  it('reset: connected clients are thrown out at once, and new ones at their first request', async () => {
    city.inject({ site, kind: 'reset' })
    expect(await client.closed()).toBe('reset')
    const other = await RawClient.connect(city.port(site))
    other.send(other.frame(1, flow))
    expect(await other.closed()).toBe('reset')
  })

  it('gives way to a fault of a device, and comes back after it', async () => {
    city.inject({ site, kind: 'timeout' })
    const id = city.inject({ site, device: 'fm-1', kind: 'exception', code: 6 })
    expect([...(await client.ask(1, flow)).subarray(7)]).toEqual([0x83, 6])
    expect(await client.tryAsk(2, flow, handled)).toBeNull()
    city.clear(id)
    expect(await client.tryAsk(1, flow, handled)).toBeNull()
    city.clearAll()
    expect(await client.tryAsk(1, flow, handled)).not.toBeNull()
  })
})

describe('inside an instrument', () => {
  const image = async () => payload(await client.ask(1, read(3, 0, 18)))

  it('frozen: every register stands still while the meter counts on, and jumps when it thaws', async () => {
    const id = city.inject({ site, device: 'fm-1', kind: 'frozen' })
    const before = await image()
    await time.advance(10_000)
    expect((await image()).equals(before)).toBe(true)
    const { counted, shown } = city.truth[0] ?? { counted: '0', shown: '0' }
    expect(Number(counted) - Number(shown)).toBeGreaterThan(10_000)
    city.clear(id)
    await time.advance(200)
    expect((await image()).readUInt32BE(6) - before.readUInt32BE(6)).toBeGreaterThanOrEqual(11)
  })

  it('nan: its floats are not a number', async () => {
    city.inject({ site, device: 'fm-1', kind: 'nan' })
    city.inject({ site, device: 'cl2-1', kind: 'nan' })
    await time.advance(200)
    expect((await image()).readFloatBE(0)).toBeNaN()
    expect(payload(await client.ask(11, read(3, 2, 2))).toString('hex')).toBe('00007fc0')
  })

  it('drift: its value runs away from the truth', async () => {
    city.inject({ site, device: 'level-1', kind: 'drift', perMinute: 6 })
    await time.advance(60_000)
    const shown = payload(await client.ask(5, read(3, 0, 2))).readFloatBE()
    const truth = 100 * (city.plants.waterworks?.tanks['clear-water']?.level ?? 0)
    expect(shown - truth).toBeCloseTo(6, 1)
  })
})

describe('in time', () => {
  it('ends after the time given', async () => {
    city.inject({ site, device: 'fm-1', kind: 'timeout' }, 5000)
    await time.advance(4800)
    expect(await client.tryAsk(1, flow, handled)).toBeNull()
    await time.advance(200)
    expect(await client.tryAsk(1, flow, handled)).not.toBeNull()
    expect(city.faults).toEqual([])
  })

  it('is refused for what is not there', () => {
    expect(() => city.inject({ site: 'moon', kind: 'timeout' })).toThrow('no site "moon"')
    expect(() => city.inject({ site, device: 'fm-9', kind: 'timeout' })).toThrow('no device "fm-9"')
  })
})
