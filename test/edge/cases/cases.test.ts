import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { systemClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { type IServiceVector, ServerTCP } from 'modbus-serial'
import { afterEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type RawFault, RawModbus } from '../../support/raw-modbus.ts'
import { open, profileOf, Recorder, siteOf } from '../acquisition/kit.ts'

interface SiteCase {
  readonly devices: readonly object[]
  readonly channel?: object
  readonly scanClasses?: Record<string, number>
  readonly profile?: object
}

interface RegistersCase {
  readonly peer: 'modbus-serial' | 'raw'
  readonly units: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly faults?: readonly { unit: number; from: number; to: number; fault: RawFault }[]
}

const here = import.meta.dirname
const cases = readdirSync(here, { withFileTypes: true })
  .filter(entry => entry.isDirectory())
  .map(entry => entry.name)

const cleanup: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of cleanup.splice(0).reverse()) await close()
})

const yaml = (name: string, file: string): unknown => parse(readFileSync(join(here, name, file), 'utf8'))

test.each(cases)('%s', async name => {
  const site = yaml(name, 'site.yaml') as SiteCase
  const registers = yaml(name, 'registers.yaml') as RegistersCase
  const expected = JSON.parse(readFileSync(join(here, name, 'expected.json'), 'utf8')) as Record<string, unknown>
  const port = registers.peer === 'raw' ? await serveRaw(registers) : await serveModbusSerial(registers)
  const file = siteOf(
    {
      channels: [{ id: 'c', driver: 'modbus', host: '127.0.0.1', port, timeoutMs: 1000, ...site.channel }],
      devices: site.devices.map(device => ({ site: 'case', channel: 'c', ...device })),
      scanClasses: { fast: 40, normal: 40, slow: 40, ...site.scanClasses },
    },
    site.profile ? [profileOf(site.profile)] : [],
  )
  const acquisition = await open(file, { clock: systemClock, ticker: systemTicker, sink: new Recorder() })
  cleanup.push(() => acquisition.close())
  acquisition.start()
  const seen = () =>
    Object.fromEntries(
      acquisition.devices
        .flatMap(({ site: place, device }) => acquisition.current(`${place}:${device}`))
        .map(reading => [reading.tag.slice('case/'.length), brief(reading)]),
    )
  await expect.poll(seen, { timeout: 8000, interval: 20 }).toEqual(expected)
})

function brief({ value, quality, reason }: { value: unknown; quality: string; reason: string | null }): unknown {
  const plain = typeof value === 'bigint' ? value.toString() : value
  return quality === 'good' ? plain : quality === 'bad' ? [quality, reason] : [plain, quality, reason]
}

test('every case folder is complete', () => {
  for (const name of cases) {
    for (const file of ['site.yaml', 'registers.yaml', 'expected.json']) {
      expect(existsSync(join(here, name, file)), `${name}/${file}`).toBe(true)
    }
  }
})

const wordsOf = (text: string): number[] => text.split(/\s+/).map(word => Number.parseInt(word, 16))

async function serveRaw({ units, faults = [] }: RegistersCase): Promise<number> {
  const server = await RawModbus.open()
  cleanup.push(() => server.close())
  for (const [unit, blocks] of Object.entries(units)) {
    for (const [start, words] of Object.entries(blocks)) server.set(Number(unit), Number(start), ...wordsOf(words))
  }
  server.fault = request =>
    faults.find(
      ({ unit, from, to }) => unit === request.unitId && request.start <= to && request.start + request.count > from,
    )?.fault ?? null
  return server.port
}

/** An independent server: what it does with a request is not ours. */
async function serveModbusSerial({ units }: RegistersCase): Promise<number> {
  const words = new Map<string, number>()
  for (const [unit, blocks] of Object.entries(units)) {
    for (const [start, text] of Object.entries(blocks)) {
      for (const [index, word] of wordsOf(text).entries()) words.set(`${unit} ${Number(start) + index}`, word)
    }
  }
  const word = (address: number, unit: number): number => words.get(`${unit} ${address}`) ?? 0
  const vector: IServiceVector = {
    getHoldingRegister: word,
    getInputRegister: word,
    getCoil: (address: number, unit: number) => word(address, unit) !== 0,
    getDiscreteInput: (address: number, unit: number) => word(address, unit) !== 0,
  }
  const port = await freePort()
  const server = new ServerTCP(vector, { host: '127.0.0.1', port })
  cleanup.push(
    () =>
      new Promise<void>(resolve => {
        server.close(() => resolve())
        for (const socket of server.socks.keys()) socket.destroy()
      }),
  )
  await new Promise<void>((resolve, reject) => {
    server.on('initialized', () => resolve())
    server.on('serverError', reject)
  })
  return port
}

/** The package takes port 0 for its default port. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise<void>(resolve => server.close(() => resolve()))
  return address !== null && typeof address === 'object' ? address.port : 0
}
