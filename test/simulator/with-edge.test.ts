import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Batch } from '@penstock/core/delivery/batch.ts'
import type { Reading } from '@penstock/core/reading.ts'
import { systemClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { type Acquisition, openAcquisition } from '@penstock/edge/acquisition/acquisition.ts'
import { loadSiteFile } from '@penstock/edge/config/site-file.ts'
import { openSimulator, type Simulator } from '@penstock/simulator/simulator.ts'
import { afterAll, afterEach, describe, expect, it } from 'vitest'

// The two sides have no code in common: what the edge makes of the registers must be what the plants hold.

const folder = mkdtempSync(join(tmpdir(), 'penstock-'))
const batches: Batch[] = []
afterAll(() => rmSync(folder, { recursive: true }))

let city: Simulator
let edge: Acquisition

afterEach(async () => {
  await edge.close()
  await city.close()
  batches.length = 0
})

async function open(scenario: string, devices: readonly string[], readings?: string): Promise<void> {
  city = await openSimulator({ scenario, readings })
  const path = join(folder, 'site.yaml')
  const channels = city.sites.map(
    ({ id, port }) => `  - { id: ${id}, driver: modbus, host: 127.0.0.1, port: ${port}, timeoutMs: 5000 }`,
  )
  const file = [
    'edge: { group: g, id: e }',
    'host: h',
    'broker: { urls: ["mqtt://127.0.0.1:1"] }',
    'scanClasses: { fast: 50, normal: 50, slow: 50 }',
    'channels:',
    ...channels,
    'devices:',
    ...devices.map(device => `  - { ${device} }`),
  ]
  writeFileSync(path, file.join('\n'))
  const sink = {
    report: (batch: Batch, durable?: () => void) => {
      batches.push(batch)
      durable?.()
    },
    deviceState: () => {},
    diagnosis: () => {},
  }
  const logbook = { lastRow: () => null }
  edge = await openAcquisition(loadSiteFile(path), {
    clock: systemClock,
    ticker: systemTicker,
    log: silentLogger,
    sink,
    logbook,
  })
  edge.start()
}

const reading = (device: string, tag: string): Reading | undefined =>
  edge.current(device).find(one => one.tag.endsWith(`/${tag}`))

const within = { timeout: 15_000, interval: 20 }

describe('the edge at the city', () => {
  const fleet = [
    ['waterworks', 'fm-1', 1, 'mfe600c'],
    ['waterworks', 'fm-2', 2, 'tuf2000'],
    ['waterworks', 'level-1', 5, 'level-generic'],
    ['waterworks', 'cl2-1', 11, 'midas'],
    ['cold-store', 'nh3-1', 11, 'midas'],
  ] as const

  it('reads of every instrument what the plants hold', { timeout: 30_000 }, async () => {
    const devices = fleet.map(
      ([site, id, unitId, profile]) =>
        `site: ${site}, id: ${id}, channel: ${site}, unitId: ${unitId}, profile: ${profile}`,
    )
    await open('calm-day', devices)
    await expect.poll(() => city.truth.filter(({ totalReads }) => totalReads > 2).length, within).toBe(2)
    city.pause()
    for (const { device, site, shown } of city.truth.filter(({ site }) => site === 'waterworks')) {
      await expect.poll(() => String(reading(`${site}:${device}`, 'total')?.value), within).toBe(shown)
      const flow = Number(city.values(site, device).flow)
      await expect.poll(() => Number(reading(`${site}:${device}`, 'flow')?.value), within).toBeCloseTo(flow, 2)
    }
    const level = Number(city.values('waterworks', 'level-1').level)
    await expect.poll(() => Number(reading('waterworks:level-1', 'level')?.value), within).toBeCloseTo(level, 4)
    for (const [site, id] of [
      ['waterworks', 'cl2-1'],
      ['cold-store', 'nh3-1'],
    ] as const) {
      const ppm = Number(city.values(site, id).concentration)
      await expect.poll(() => Number(reading(`${site}:${id}`, 'concentration')?.value), within).toBeCloseTo(ppm, 4)
    }
    const bad = fleet.flatMap(([site, id]) => edge.current(`${site}:${id}`)).filter(({ quality }) => quality !== 'good')
    expect(bad).toEqual([])
  })

  it('takes every row of a data logger once, in order, with the stamps of the logger', {
    timeout: 30_000,
  }, async () => {
    const path = join(folder, 'readings.csv')
    const rows = Array.from({ length: 300 }, (_, row) => `${String(row % 24).padStart(2, '0')}:00:00,${1000 + 3 * row}`)
    writeFileSync(
      path,
      `meter,time,total\n${rows.map((row, index) => `m1,2016-03-${String(1 + Math.floor(index / 24)).padStart(2, '0')}T${row}`).join('\n')}\n`,
    )
    await open('real-meters', ['site: meters, id: m1, channel: meters, unitId: 1, profile: logger'], path)
    const totals = () =>
      batches.flatMap(batch => batch.readings).filter(({ tag, value }) => tag === 'meters/m1/total' && value !== null)
    await expect.poll(() => totals().length, within).toBe(300)
    expect(totals().map(({ value }) => value)).toEqual(rows.map((_, row) => BigInt(1000 + 3 * row) * 1000n))
    expect(totals().map(({ sourceTimestamp }) => sourceTimestamp)).toEqual(
      rows.map((_, row) => Date.parse('2016-03-01T00:00:00+08:00') + row * 3_600_000),
    )
    await expect.poll(() => city.values('meters', 'm1').readUpTo, within).toBe(300)
  })
})
