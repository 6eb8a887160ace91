import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort, mosquitto, penstock, type Running, startMosquitto, temporaryFolder } from '../support/processes.ts'
import { readInbox } from '../support/read-inbox.ts'
import { until } from '../support/world.ts'

// A year of 43 real water meters, served as data loggers on Modbus, through edge, broker and gateway, which are killed on the way.

const given = process.env.PENSTOCK_REAL_METERS
const file = given && (statSync(given).isDirectory() ? join(given, 'readings.csv.gz') : given)

interface Row {
  readonly stamp: number
  readonly total: bigint
}

/** The file read apart from the product: meter → rows in the order of the file. */
function expectedRows(path: string): Map<string, Row[]> {
  const meters = new Map<string, Row[]>()
  for (const line of gunzipSync(readFileSync(path)).toString('utf8').split('\n').slice(1)) {
    const [meter, time, total] = line.trim().split(',')
    if (!meter || !time || !total) continue
    const rows = meters.get(meter) ?? []
    rows.push({ stamp: Date.parse(`${time}+08:00`), total: BigInt(total) })
    meters.set(meter, rows)
  }
  return meters
}

describe('a year of real meters', () => {
  const running = new Map<string, Running>()
  let remove = () => {}
  afterEach(async () => {
    for (const process of running.values()) {
      process.kill('SIGKILL')
      await process.exited
    }
    running.clear()
    remove()
  })

  it.skipIf(!file || !existsSync(file) || !mosquitto)(
    'arrives complete: every row of every meter once, in order, though edge, gateway and broker are killed ten times',
    async () => {
      const expected = expectedRows(file ?? '')
      const meters = [...expected.keys()]
      expect(meters.length).toBe(43)
      const folder = temporaryFolder()
      remove = folder.remove
      const ports = { modbus: await freePort(), broker: await freePort(), http: await freePort() }
      writeFileSync(join(folder.path, 'ports.json'), JSON.stringify({ meters: ports.modbus }))
      const broker = `  urls: ["mqtt://127.0.0.1:${ports.broker}"]\n`
      writeFileSync(
        join(folder.path, 'site.yaml'),
        `edge:\n  group: real\n  id: e1\nhost: penstock\nbroker:\n${broker}data: e1\nscanClasses: { normal: 200, fast: 200, slow: 1000 }\nchannels:\n  - { id: ch, driver: modbus, host: 127.0.0.1, port: ${ports.modbus}, maxInFlight: 8 }\ndevices:\n${meters
          .map(
            (meter, index) =>
              `  - { site: meters, id: m-${meter}, channel: ch, unitId: ${index + 1}, profile: logger }\n`,
          )
          .join('')}`,
      )
      writeFileSync(
        join(folder.path, 'registry.yaml'),
        'groups:\n  - { id: real, name: { zh: 实测, en: Real } }\nsites:\n  - { id: meters, group: real, kind: water, name: { zh: 实测水表, en: Real meters } }\nedges:\n  - { group: real, id: e1 }\n',
      )
      writeFileSync(join(folder.path, 'users.yaml'), 'users: []\n')
      writeFileSync(
        join(folder.path, 'gateway.yaml'),
        `gateway: { hostId: penstock, groups: [real], data: gateway }\nbroker:\n${broker}inbox: { keepBytes: 1GiB }\nhttp: { port: ${ports.http}, apiTokenFile: api-token }\nregistry: registry.yaml\nusers: users.yaml\n`,
      )
      const mosquittoFolder = join(folder.path, 'mosquitto')
      mkdirSync(mosquittoFolder)

      const env = { PENSTOCK_LOG: 'warn' }
      const starters: Readonly<Record<string, () => Promise<Running>>> = {
        simulator: () =>
          penstock(
            'simulator',
            ['--scenario', 'real-meters', '--readings', file ?? '', '--use-ports', join(folder.path, 'ports.json')],
            { env, readyWithinMs: 60_000 },
          ),
        broker: () => startMosquitto({ folder: mosquittoFolder, port: ports.broker }),
        gateway: () => penstock('gateway', ['--config', join(folder.path, 'gateway.yaml')], { env }),
        edge: () => penstock('edge', ['--config', join(folder.path, 'site.yaml')], { env }),
      }
      const startPart = async (name: string) => {
        const starter = starters[name]
        if (starter) running.set(name, await starter())
      }
      for (const name of ['simulator', 'broker', 'gateway', 'edge']) await startPart(name)

      const rows = [...expected.values()].reduce((sum, list) => sum + list.length, 0)
      const token = () => readFileSync(join(folder.path, 'api-token'), 'utf8').trim()
      const seenRow = new Map<string, number>()
      const lastRow = async (meter: string) => {
        const response = await fetch(`http://127.0.0.1:${ports.http}/api/v1/tags/meters/m-${meter}/row`, {
          headers: { Authorization: `Bearer ${token()}` },
        })
        // A logger that has no more rows shows none after a restart of its edge; what was seen before stays seen.
        const value = response.ok ? ((await response.json()) as { value: string | null }).value : null
        const row = Math.max(Number(value ?? 0), seenRow.get(meter) ?? 0)
        seenRow.set(meter, row)
        return row
      }
      /** rows that the gateway has seen, over all meters */
      const progress = async () => {
        const counts = await Promise.all(meters.map(lastRow))
        return counts.reduce((sum, count) => sum + count, 0)
      }

      const victims = ['edge', 'gateway', 'broker', 'edge', 'gateway', 'edge', 'broker', 'gateway', 'edge', 'gateway']
      for (const [index, victim] of victims.entries()) {
        const goal = (rows * (index + 1)) / (victims.length + 2)
        await until(`${Math.round(goal)} of ${rows} rows at the gateway`, 120_000, async () =>
          (await progress()) >= goal ? true : undefined,
        )
        running.get(victim)?.kill('SIGKILL')
        await running.get(victim)?.exited
        await startPart(victim)
      }
      /** whether the last row of the file is stored: rows come in order */
      const isComplete = async (meter: string) => {
        const stamp = expected.get(meter)?.at(-1)?.stamp ?? 0
        const query = `tag=meters/m-${meter}/total&from=${stamp}&to=${stamp + 1}`
        const response = await fetch(`http://127.0.0.1:${ports.http}/api/v1/readings?${query}`, {
          headers: { Authorization: `Bearer ${token()}` },
        })
        return response.ok && ((await response.json()) as { readings: unknown[] }).readings.length > 0
      }
      const missing = new Set(meters)
      await until('all rows at the gateway', 150_000, async () => {
        for (const meter of missing) if (await isComplete(meter)) missing.delete(meter)
        return missing.size === 0 ? true : undefined
      })
      const described = await fetch(`http://127.0.0.1:${ports.http}/api/v1/tags/meters/m-${meters[0]}/total`, {
        headers: { Authorization: `Bearer ${token()}` },
      })
      const { resolution, unit } = (await described.json()) as { resolution: string; unit: string }
      expect([resolution, unit]).toEqual(['0.001', 'm3'])
      const countsPerM3 = 1000n
      expect(await running.get('edge')?.stop()).toBe(0)
      running.delete('edge')
      expect(await running.get('gateway')?.stop()).toBe(0)
      running.delete('gateway')

      const arrived = new Map<string, Row[]>(meters.map(meter => [`meters/m-${meter}/total`, []]))
      const positions = new Map<string, number>()
      for await (const { entry } of readInbox(join(folder.path, 'gateway/inbox/log'))) {
        if (entry.kind === 'loss') throw new Error(`a loss was declared: ${JSON.stringify(entry)}`)
        if (entry.kind !== 'batch') continue
        const key = `${entry.edge} ${entry.epoch} ${entry.class}`
        expect(entry.pos, key).toBe(positions.get(key) ?? entry.pos)
        positions.set(key, entry.pos + 1)
        for (const reading of entry.readings) {
          const list = arrived.get(reading.tag)
          if (list && reading.value !== null) {
            list.push({ stamp: reading.sourceTimestamp, total: BigInt(String(reading.value)) })
          }
        }
      }
      for (const meter of meters) {
        const wanted = expected.get(meter) ?? []
        const found = arrived.get(`meters/m-${meter}/total`) ?? []
        expect(found.length, meter).toBe(wanted.length)
        const wrong = wanted.findIndex(
          (row, at) => row.stamp !== found[at]?.stamp || row.total * countsPerM3 !== found[at]?.total,
        )
        expect(wrong, `first wrong row of ${meter}`).toBe(-1)
      }
    },
    300_000,
  )
})
