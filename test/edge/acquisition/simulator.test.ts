import type { Acquisition } from '@penstock/edge/acquisition/acquisition.ts'
import { openSimulator, type Simulator } from '@penstock/simulator/simulator.ts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ManualTime } from '../../support/manual-time.ts'
import { open, Recorder, siteOf } from './kit.ts'

// The simulator encodes registers with code of its own: what comes out here went through two independent implementations.

let time: ManualTime
let city: Simulator
let sink: Recorder
let acquisition: Acquisition

beforeEach(async () => {
  time = new ManualTime(Date.parse('2026-06-15T04:00:00Z'))
  city = await openSimulator({ scenario: 'calm-day', clock: time, ticker: time })
  sink = new Recorder()
  const known = city.sites.map(site => ({
    ...site,
    devices: site.devices.filter(({ kind }) => kind !== 'signals'),
  }))
  const file = siteOf({
    channels: known.map(({ id, port }) => ({
      id,
      driver: 'modbus',
      host: '127.0.0.1',
      port,
      timeoutMs: 400,
      maxInFlight: 2,
    })),
    devices: known.flatMap(({ id: site, devices }) =>
      devices.map(({ id, unitId, kind }) => ({ site, id, channel: site, unitId, profile: kind })),
    ),
    scanClasses: { fast: 1000, normal: 1000, slow: 1000 },
  })
  acquisition = await open(file, { clock: time, ticker: time, sink })
  acquisition.start()
})

afterEach(async () => {
  await acquisition.close()
  await city.close()
})

/** Lets time pass in small steps until `done`, with turns of the event loop for the sockets in between. */
const passUntil = (done: () => unknown) =>
  expect.poll(
    async () => {
      await time.advance(50)
      return done()
    },
    { interval: 2, timeout: 10_000 },
  )

/** What the instruments show and the edge has read, for the tags that both know. */
function differences(): string[] {
  return city.sites.flatMap(({ id: site, devices }) =>
    devices
      .filter(({ kind }) => kind !== 'signals')
      .flatMap(({ id, values }) => {
        const readings = acquisition.current(`${site}:${id}`)
        return Object.entries(values).flatMap(([name, shown]) => {
          const reading = readings.find(({ tag }) => tag === `${site}/${id}/${name}`)
          if (!reading) return []
          const { value, reason } = reading
          const same =
            typeof value === 'bigint'
              ? value.toString() === shown
              : typeof value === 'number'
                ? Math.abs(value - Number(shown)) <= Math.abs(Number(shown)) * 1e-6
                : value === shown
          return same ? [] : [`${reading.tag}: ${shown} shown, ${value ?? reason} read`]
        })
      }),
  )
}

test('every value of every instrument of the city arrives as the instrument shows it', async () => {
  await passUntil(() =>
    acquisition.devices.every(({ site, device }) => acquisition.current(`${site}:${device}`)[0]?.quality === 'good'),
  ).toBe(true)
  city.pause()
  await passUntil(differences).toEqual([])
  expect(sink.batches.length).toBeGreaterThan(10)
})

test.each([
  'timeout',
  'reset',
  'wrong-unit',
  'wrong-transaction',
  'garbage',
  'truncated',
  'exception',
  'late',
  'half-open',
  'nan',
] as const)(
  'the fault %s of one instrument: it is bad and comes back; totals that were reported are totals that were served',
  async kind => {
    const tag = 'waterworks/fm-1/total'
    await passUntil(() => sink.readingsOf(tag).length).toBeGreaterThan(0)
    const fault = city.inject({ site: 'waterworks', device: 'fm-1', kind, delayMs: 600 })
    await passUntil(() => sink.readingsOf(tag).at(-1)?.quality).toBe('bad')
    city.clear(fault)
    await passUntil(() => sink.readingsOf(tag).at(-1)?.quality).toBe('good')
    city.pause()
    await passUntil(differences).toEqual([])
    const totals = sink.readingsOf(tag).flatMap(({ value }) => (typeof value === 'bigint' ? [value] : []))
    const shown = BigInt(city.truth.find(({ site, device }) => site === 'waterworks' && device === 'fm-1')?.shown ?? -1)
    expect(totals).toEqual([...totals].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)))
    expect(totals.at(-1)).toBe(shown)
  },
)
