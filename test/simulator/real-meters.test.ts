import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { readMeters, realMetersVariable } from '@penstock/simulator/real-meters.ts'
import { openSimulator } from '@penstock/simulator/simulator.ts'
import { afterAll, describe, expect, it } from 'vitest'
import { ManualTime } from '../support/manual-time.ts'
import { payload, RawClient, read } from './raw-client.ts'

const folder = mkdtempSync(join(tmpdir(), 'penstock-'))
afterAll(() => rmSync(folder, { recursive: true }))

const csv = [
  'meter,time,total',
  'aa01,2016-03-01T00:53:08,36412',
  'aa01,2016-03-01T00:53:08,36413',
  'bb02,2016-03-01T08:00:00,7',
  'aa01,2016-02-29T23:00:00,36410',
  '',
].join('\n')

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

describe('readings of meters', () => {
  it('keep the order of the file, equal stamps and steps back, and are read as Asia/Shanghai', () => {
    const meters = readMeters(file('plain.csv', csv))
    expect([...meters.keys()]).toEqual(['aa01', 'bb02'])
    const rows = meters.get('aa01')
    const listed = [0, 1, 2].map(index => [
      new Date(1000 * (rows?.stamp(index) ?? 0)).toISOString(),
      rows?.total(index),
    ])
    expect(listed).toEqual([
      ['2016-02-29T16:53:08.000Z', 36412],
      ['2016-02-29T16:53:08.000Z', 36413],
      ['2016-02-29T15:00:00.000Z', 36410],
    ])
  })

  it('may be packed, and named by their folder', () => {
    file('readings.csv.gz', gzipSync(csv))
    expect(readMeters(folder).get('bb02')?.length).toBe(1)
  })

  it('are refused with the first wrong line', () => {
    const path = file('wrong.csv', 'meter,time,total\naa01,2016-03-01T00:53:08,1.5e7\n')
    expect(() => readMeters(path)).toThrow(`${path}:2: "aa01,2016-03-01T00:53:08,1.5e7"`)
    expect(() => readMeters(file('head.csv', 'a,b\n'))).toThrow('head.csv:1: the first line')
    expect(() => readMeters(join(folder, 'none.csv'))).toThrow('cannot be read (ENOENT)')
  })

  it('come out of the scenario real-meters, one logger a meter', async () => {
    const time = new ManualTime(Date.UTC(2026, 5, 15, 4))
    const readings = file('served.csv', csv)
    const city = await openSimulator({ scenario: 'real-meters', readings, clock: time, ticker: time })
    const client = await RawClient.connect(city.port('meters'))
    const first = payload(await client.ask(1, read(3, 100, 10)))
    expect([first.readUInt32BE(0), first.readUInt32BE(4), first.readBigUInt64BE(8)]).toEqual([1, 1_456_764_788, 36412n])
    expect(payload(await client.ask(2, read(3, 0, 2))).readUInt32BE()).toBe(1)
    expect(city.truth.find(({ device }) => device === 'bb02')).toMatchObject({ resolution: '1', shown: '7' })
    client.close()
    await city.close()
  })

  it('must be named', async () => {
    const named = process.env[realMetersVariable]
    delete process.env[realMetersVariable]
    try {
      await expect(openSimulator({ scenario: 'real-meters' })).rejects.toThrow('--readings FILE')
    } finally {
      if (named !== undefined) process.env[realMetersVariable] = named
    }
  })
})

const real = process.env[realMetersVariable]

describe.skipIf(!real)(`the real file of ${realMetersVariable}`, () => {
  it('has 43 meters, units 1 to 43', async () => {
    const city = await openSimulator({ scenario: 'real-meters', readings: real })
    const devices = city.sites[0]?.devices ?? []
    expect(devices.map(({ unitId }) => unitId)).toEqual(Array.from({ length: 43 }, (_, index) => index + 1))
    expect(devices.reduce((sum, { values }) => sum + Number(values.rows), 0)).toBe(315_323)
    await city.close()
  })
})
