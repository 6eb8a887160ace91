import type { Clock } from '@penstock/core/runtime/clock.ts'
import { openSimulator, type Simulator, type SimulatorOptions } from '@penstock/simulator/simulator.ts'
import { afterEach, describe, expect, it } from 'vitest'
import { FaultyFiles, seeded } from '../support/faulty-files.ts'
import { ManualTime } from '../support/manual-time.ts'
import { payload, RawClient, read } from './raw-client.ts'

const start = Date.UTC(2026, 5, 15, 4)
const open: Simulator[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map(city => city.close()))
})

async function make(time: ManualTime, options: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  const city = await openSimulator({ scenario: 'chlorine-leak', clock: time, ticker: time, ...options })
  open.push(city)
  return city
}

const shown = (city: Simulator): string =>
  JSON.stringify(city.sites.map(({ devices }) => devices.map(({ values }) => values)))

async function trace(options: Partial<SimulatorOptions>, poll = false): Promise<string[]> {
  const time = new ManualTime(start)
  const city = await make(time, options)
  const client = poll ? await RawClient.connect(city.port('waterworks')) : null
  const lines: string[] = []
  for (let second = 0; second < 120; second++) {
    await time.advance(1000)
    for (let request = 0; client && request < second % 4; request++) await client.ask(11, read(3, 0, 16))
    lines.push(shown(city))
  }
  client?.close()
  return lines
}

describe('a run', () => {
  it('is the same with the same seed, however often it is read, and another with another', async () => {
    const one = await trace({ seed: 5 })
    expect(await trace({ seed: 5 }, true)).toEqual(one)
    expect(await trace({ seed: 6 })).not.toEqual(one)
  })

  it('goes on in the right time when the clock jumps ahead or is set back', async () => {
    const time = new ManualTime(start)
    let offsetMs = 0
    const clock: Clock = { now: () => time.now() + offsetMs, after: (delayMs, run) => time.after(delayMs, run) }
    const city = await openSimulator({ scenario: 'calm-day', clock, ticker: time })
    open.push(city)
    const counted = () => Number(city.truth.find(({ site }) => site === 'thermal')?.counted) / 1000
    const perHour = 4_620_000 / 8760
    const first = counted()
    offsetMs = 3_600_000
    await time.advance(1000)
    const second = counted()
    expect((second - first) / perHour).toBeCloseTo(1, 1)
    offsetMs = -3_600_000
    await time.advance(60_000)
    expect((counted() - second) / perHour).toBeCloseTo(1 / 60, 2)
    expect(counted()).toBeGreaterThan(second + 5)
  })

  it('can be paused, stepped and resumed', async () => {
    const time = new ManualTime(start)
    const city = await make(time)
    await time.advance(10_000)
    city.pause()
    const before = shown(city)
    await time.advance(60_000)
    expect(shown(city)).toBe(before)
    expect(() => city.step(0)).not.toThrow()
    city.step(20_000)
    expect(city.elapsedMs).toBe(30_000)
    expect(city.plants.waterworks?.rooms['chlorine-room']?.leakMgPerSecond).toBe(15)
    city.resume()
    expect(() => city.step(1000)).toThrow('pause')
    await time.advance(10_000)
    expect(city.elapsedMs).toBe(40_000)
    expect(shown(city)).not.toBe(before)
  })

  it('ends an action that was given for a time', async () => {
    const time = new ManualTime(start)
    const city = await make(time, { scenario: 'calm-day' })
    city.act({ leak: { site: 'cold-store', room: 'machine-room', mgPerSecond: 100 } }, 5000)
    const leak = () => city.plants['cold-store']?.rooms['machine-room']?.leakMgPerSecond
    await time.advance(4800)
    expect(leak()).toBe(100)
    await time.advance(200)
    expect(leak()).toBe(0)
    expect(() => city.act({ leak: { site: 'cold-store', room: 'attic', mgPerSecond: 1 } })).toThrow('no room "attic"')
  })
})

describe('a totalizer', () => {
  it('starts again from 0 at the end of its register and counts on', async () => {
    const time = new ManualTime(start)
    const city = await make(time, { scenario: 'totalizer-rollover' })
    const truth = () => city.truth.find(({ site, device }) => site === 'waterworks' && device === 'fm-1')
    const client = await RawClient.connect(city.port('waterworks'))
    const integers: number[] = []
    for (let second = 0; second < 60; second++) {
      await time.advance(1000)
      integers.push(payload(await client.ask(1, read(3, 3, 4))).readUInt32BE())
    }
    client.close()
    const drop = integers.findIndex((value, index) => value < (integers[index - 1] ?? 0))
    expect(integers[drop - 1]).toBeGreaterThan(4_294_967_290)
    expect(integers[drop]).toBeLessThan(5)
    const { counted, shown: index, modulus } = truth() ?? { counted: '0', shown: '0', modulus: '1' }
    expect(BigInt(counted) - BigInt(index)).toBe(BigInt(modulus))
    expect(modulus).toBe('4294967296000')
  })
})

describe('the truth', () => {
  it('tells what was served first and last and how often, of reads of the whole total only', async () => {
    const time = new ManualTime(start)
    const city = await make(time, { scenario: 'calm-day' })
    const client = await RawClient.connect(city.port('printing'))
    await client.ask(1, read(3, 0, 5))
    expect(city.truth.find(({ site }) => site === 'printing')).toMatchObject({ first: null, last: null, totalReads: 0 })
    const first = payload(await client.ask(1, read(3, 0, 18)))
    await time.advance(30_000)
    const last = payload(await client.ask(1, read(3, 3, 4)))
    client.close()
    const litres = (integer: number, fraction: number): string => String(integer * 1000 + Math.round(fraction * 1000))
    expect(city.truth.find(({ site }) => site === 'printing')).toMatchObject({
      first: { index: litres(first.readUInt32BE(6), first.readFloatBE(10)), at: start },
      last: { index: litres(last.readUInt32BE(0), last.readFloatBE(4)), at: start + 30_000 },
      totalReads: 2,
    })
  })

  it('has counted the year so far when the city opens', async () => {
    const city = await make(new ManualTime(Date.parse('2026-12-19T15:46:00+08:00')), { scenario: 'calm-day' })
    const counted = Number(city.truth.find(({ site }) => site === 'printing')?.counted)
    expect((counted - 812_406_125) / 1000).toBeCloseTo(100_000, -1)
  })
})

describe('the saved state', () => {
  const stateFile = '/city/state.json'
  const totals = (city: Simulator): number[] => city.truth.map(({ counted }) => Number(counted))
  const disk = () => new FaultyFiles(seeded(1))

  it.each([40_100, 40_900])(
    'lets every total go on after a kill at %i ms, beyond what was served, and the script',
    async killedAt => {
      const time = new ManualTime(start)
      const files = disk()
      const before = await make(time, { stateFile, files })
      await time.advance(killedAt)
      const saved = await files.readWhole(stateFile)
      const rest = disk()
      await rest.replace(stateFile, saved ?? new Uint8Array())
      const served = totals(before)
      time.jump(100)
      const after = await make(time, { stateFile, files: rest })
      for (const [meter, total] of totals(after).entries()) {
        expect(total).toBeGreaterThanOrEqual(served[meter] ?? 0)
        expect(total - (served[meter] ?? 0)).toBeLessThan(10_000)
      }
      expect(after.elapsedMs).toBe(39_800)
      expect(after.plants.waterworks?.rooms['chlorine-room']?.leakMgPerSecond).toBe(15)
    },
  )

  it('lets no total go back when the clock of the city goes on from a second before the kill', async () => {
    const time = new ManualTime(start)
    const files = disk()
    const before = await make(time, { stateFile, files })
    await time.advance(40_900)
    const rest = disk()
    await rest.replace(stateFile, (await files.readWhole(stateFile)) ?? new Uint8Array())
    const after = await make(new ManualTime(start + 40_000), { stateFile, files: rest })
    for (const [meter, total] of totals(after).entries())
      expect(total).toBeGreaterThanOrEqual(totals(before)[meter] ?? 0)
  })

  it('begins the scenario anew after an orderly stop, with the meters where they were and what flowed meanwhile', async () => {
    const time = new ManualTime(start)
    const files = disk()
    const before = await make(time, { stateFile, files })
    await time.advance(60_000)
    await before.close()
    time.jump(3_600_000)
    const after = await make(time, { stateFile, files })
    expect(after.elapsedMs).toBe(0)
    const thermal = before.truth.findIndex(({ site }) => site === 'thermal')
    const meanwhile = ((totals(after)[thermal] ?? 0) - (totals(before)[thermal] ?? 0)) / 1000
    expect(meanwhile / (4_620_000 / 8760)).toBeCloseTo(1, 1)
  })

  it('does not set a meter again that the scenario has set before', async () => {
    const time = new ManualTime(start)
    const files = disk()
    const before = await make(time, { stateFile, files, scenario: 'totalizer-rollover' })
    await time.advance(60_000)
    await before.close()
    const after = await make(time, { stateFile, files, scenario: 'totalizer-rollover' })
    for (const [meter, total] of totals(after).entries())
      expect(total).toBeGreaterThanOrEqual(totals(before)[meter] ?? 0)
    expect(totals(after)[0]).toBeGreaterThan(4_294_967_296_000)
  })

  it('says so when the file is something else', async () => {
    const files = disk()
    await files.replace(stateFile, Buffer.from('{"version":2}'))
    await expect(make(new ManualTime(start), { stateFile, files })).rejects.toThrow('is not a saved state')
  })
})
