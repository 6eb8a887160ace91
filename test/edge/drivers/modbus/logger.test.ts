import type { Acquisition } from '@penstock/edge/acquisition/acquisition.ts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ManualTime } from '../../../support/manual-time.ts'
import { RawModbus, type RawRequest } from '../../../support/raw-modbus.ts'
import { open, quiet, Recorder, siteOf } from '../../acquisition/kit.ts'

const ring = 64
const unit = 7
const device = 'w:log-1'
const firstStamp = 1_451_606_400

let server: RawModbus
let time: ManualTime
let sink: Recorder
let acquisition: Acquisition | undefined
/** rows that the meter has, and how far the ring may be filled */
let rows: number
let newest: number
let readUpTo: number
let places: number

const count = (row: number): bigint => 2n ** 33n + BigInt(row) * 17n

function fill(): void {
  const end = Math.min(rows, readUpTo + ring)
  for (let row = newest + 1; row <= end; row++) {
    const at = 100 + 10 * ((row - 1) % ring)
    const stamp = firstStamp + row * 300
    const total = count(row)
    const words = [row >>> 16, row, stamp >>> 16, stamp].map(word => word & 0xffff)
    for (const shift of [48n, 32n, 16n, 0n]) words.push(Number((total >> shift) & 0xffffn))
    server.set(unit, at, ...words)
  }
  newest = Math.max(newest, end)
  const oldest = newest === 0 ? 0 : Math.max(1, newest - ring + 1)
  server.set(unit, 0, newest >>> 16, newest, oldest >>> 16, oldest, ring, places)
}

const confirm = (request: RawRequest): void => {
  if (request.functionCode !== 16) return
  readUpTo = Math.max(readUpTo, (request.values[0] ?? 0) * 65536 + (request.values[1] ?? 0))
  fill()
}

beforeEach(async () => {
  server = await RawModbus.open()
  server.onRead = confirm
  time = new ManualTime(Date.parse('2026-11-21T08:00:01Z'))
  sink = new Recorder()
  rows = 0
  newest = 0
  readUpTo = 0
  places = 3
})

afterEach(async () => {
  await acquisition?.close()
  await server.close()
})

async function begin(lastRow: bigint | null): Promise<void> {
  const site = siteOf({
    channels: [{ id: 'c', driver: 'modbus', host: '127.0.0.1', port: server.port, timeoutMs: 500 }],
    devices: [{ site: 'w', id: 'log-1', channel: 'c', unitId: unit, profile: 'logger' }],
  })
  acquisition = await open(site, { clock: time, ticker: time, sink, logbook: { lastRow: () => lastRow } })
  acquisition.start()
  await expect.poll(() => server.requests.length).toBeGreaterThan(0)
  await quiet(acquisition)
}

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 250) {
    await time.advance(250)
    if (acquisition) await quiet(acquisition)
  }
}

const readRows = (): number[] =>
  sink.readingsOf('w/log-1/total').flatMap(({ value, sourceTimestamp }) => {
    if (typeof value !== 'bigint') return []
    const row = Number((value - 2n ** 33n) / 17n)
    expect(value).toBe(count(row))
    expect(sourceTimestamp).toBe((firstStamp + row * 300) * 1000)
    return row
  })
const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1)

test('every row once and in order, with the stamp of the logger; the last row number in the same batch', async () => {
  rows = 20
  fill()
  await begin(null)
  expect(readRows()).toEqual(upTo(20))
  expect(sink.batches.map(batch => [batch.class, batch.readings.length, batch.readings.at(-1)?.value])).toEqual([
    ['total', 21, 20n],
  ])
  rows = 23
  fill()
  await pass(2000)
  expect(readRows()).toEqual(upTo(23))
  await pass(10_000)
  expect(sink.batches).toHaveLength(2)
})

test('rows are released only when they are durable, and a long record is drained 64 rows at a time', async () => {
  rows = 1000
  fill()
  await begin(null)
  expect(readRows()).toEqual(upTo(64))
  await pass(5000)
  // nothing durable: nothing is released, nothing is read twice
  expect(readUpTo).toBe(0)
  expect(readRows()).toEqual(upTo(64))
  for (let round = 0; round < 20; round++) {
    for (const durable of sink.durables.splice(0)) durable()
    await pass(100)
  }
  expect(readRows()).toEqual(upTo(1000))
  expect(readUpTo).toBe(1000)
  expect(server.requests.every(({ count: registers }) => registers <= 120)).toBe(true)
})

test('after a restart reading goes on behind the last durable row, which is released if it was not', async () => {
  rows = 100
  fill()
  await begin(40n)
  expect(readUpTo).toBe(40)
  expect(readRows()).toEqual(upTo(100).slice(40))
})

test('a row that is being written is read again, and not passed over', async () => {
  rows = 5
  fill()
  server.set(unit, 100 + 10 * 2, 0, 0)
  let spoiled = 1
  server.onRead = request => {
    confirm(request)
    if (request.start >= 100 && spoiled-- === 0) server.set(unit, 100 + 10 * 2, 0, 3)
  }
  await begin(null)
  expect(readRows()).toEqual(upTo(5))
})

test('a row that stays wrong ends the scan before it', async () => {
  rows = 5
  fill()
  server.set(unit, 100 + 10 * 2, 0, 99)
  await begin(null)
  expect(readRows()).toEqual([1, 2])
  server.set(unit, 100 + 10 * 2, 0, 3)
  await pass(1000)
  expect(readRows()).toEqual(upTo(5))
})

test('a logger of whole cubic metres is counted in litres', async () => {
  places = 0
  rows = 1
  fill()
  await begin(null)
  expect(sink.readingsOf('w/log-1/total').map(reading => reading.value)).toEqual([count(1) * 1000n])
})

test('a logger that counts from the start again is read from its oldest row', async () => {
  rows = 3
  fill()
  await begin(500n)
  expect(readRows()).toEqual([1, 2, 3])
})

test('an unreadable logger is bad, then good again with its last row as it was', async () => {
  rows = 3
  fill()
  await begin(null)
  server.fault = () => ({ exception: 4 })
  await pass(2000)
  expect(sink.readingsOf('w/log-1/total').at(-1)).toMatchObject({ quality: 'bad', reason: 'exception', value: null })
  server.fault = () => null
  await pass(2000)
  expect(readRows()).toEqual([1, 2, 3, 3])
  expect(sink.readingsOf('w/log-1/row').at(-1)).toMatchObject({ quality: 'good', value: 3n })
  rows = 4
  fill()
  await pass(1000)
  expect(readRows()).toEqual([1, 2, 3, 3, 4])
})

test('a logger that dies and comes back loses no row', async () => {
  rows = 10
  fill()
  await begin(null)
  for (const durable of sink.durables.splice(0)) durable()
  await pass(500)
  server.fault = () => 'silent'
  for (let wait = 0; wait < 60; wait++) await time.advance(100)
  await expect.poll(() => sink.story).toContain(`offline ${device}`)
  rows = 30
  server.fault = () => null
  fill()
  // what is still waiting for the silent logger runs out
  await time.advance(500)
  await pass(40_000)
  expect(readRows()).toEqual(upTo(30))
  expect(acquisition?.current(device).map(reading => reading.quality)).toEqual(['good', 'good'])
  expect(sink.story.filter(line => line === `online ${device}`)).toHaveLength(1)
})
