import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Profile } from '@penstock/core/profile/schema.ts'
import { systemClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { openAcquisition } from '@penstock/edge/acquisition/acquisition.ts'
import { profileOf, siteOf } from '../edge/acquisition/kit.ts'
import { formatRows, type Row } from './row.ts'

const devices = 100
const blocks = 10
const tagsPerBlock = 10
const registersPerBlock = tagsPerBlock * 2
const blockDistance = 200
const scanMs = 1000
const title = { zh: '基准', en: 'bench' }

interface Wiring {
  readonly name: string
  /** devices are shared out over so many connections */
  readonly connections: number
  readonly maxInFlight: number
}

const wirings: readonly Wiring[] = [
  { name: '100 connections, 1 request in flight', connections: 100, maxInFlight: 1 },
  { name: '10 gateways, 4 requests in flight', connections: 10, maxInFlight: 4 },
]

interface Cost {
  /** of one core */
  readonly cpuPercent: number
  readonly rssMiB: number
  readonly readings: number
  readonly missed: number
}

/**
 * The edge's acquisition on 10 000 tags at 1 s, 100 devices, 10 blocks each, every value changing, against a bare socket that
 * sends the same requests at the same times and looks at nothing.
 */
export async function benchModbus(seconds = process.argv.includes('--long') ? 600 : 20): Promise<Row[]> {
  const server = child('server')
  try {
    const [port] = (await once(server, 'message')) as [number]
    const rows: Row[] = []
    for (const wiring of wirings) {
      const bare = await measure('bare', port, wiring, seconds)
      const edge = await measure('edge', port, wiring, seconds)
      if (edge.missed > 0) throw new Error(`${edge.missed} cycles were missed`)
      const wanted = devices * blocks * tagsPerBlock * seconds * (1000 / scanMs)
      if (edge.readings < wanted * 0.98) throw new Error(`${edge.readings} readings instead of ${wanted}`)
      rows.push(
        {
          what: `modbus: 10 000 tags at 1 s, ${wiring.name}`,
          value: edge.cpuPercent,
          unit: '% of a core',
          ceiling: bare.cpuPercent,
          ratio: edge.cpuPercent / bare.cpuPercent,
          bar: { of: 'value', atMost: 6 },
        },
        {
          what: `memory, ${wiring.name}`,
          value: edge.rssMiB,
          unit: 'MiB RSS',
          ceiling: bare.rssMiB,
          ratio: edge.rssMiB / bare.rssMiB,
          // the bar of 120 MiB is for the bundle; both processes here carry the compiler for types and the test kit
          bar: null,
        },
      )
    }
    return rows
  } finally {
    server.kill()
  }
}

/** A small young generation, as the edge's service starts Node: a box has little memory, and the garbage is short-lived. */
const nodeOptions = ['--max-semi-space-size=1']

const child = (...args: string[]): ChildProcess =>
  fork(import.meta.filename, args, { stdio: 'inherit', execArgv: nodeOptions })

async function measure(role: 'edge' | 'bare', port: number, wiring: Wiring, seconds: number): Promise<Cost> {
  const process = child(role, String(port), String(wiring.connections), String(wiring.maxInFlight), String(seconds))
  const [cost] = (await once(process, 'message')) as [Cost]
  return cost
}

// ---- the roles of child processes

/** Answers reads of holding registers; every register of every answer is another one than before. */
async function serve(): Promise<void> {
  let counter = 0
  const answer = Buffer.alloc(9 + registersPerBlock * 2)
  answer.writeUInt16BE(3 + registersPerBlock * 2, 4)
  answer[7] = 3
  answer[8] = registersPerBlock * 2
  const server = createServer({ noDelay: true }, socket => {
    socket.on('error', () => socket.destroy())
    socket.on('data', bytes => {
      const answers = Buffer.alloc((bytes.length / 12) * answer.length)
      for (let at = 0, to = 0; at + 12 <= bytes.length; at += 12, to += answer.length) {
        counter++
        bytes.copy(answer, 0, at, at + 2)
        answer[6] = bytes[at + 6] ?? 0
        for (let tag = 0; tag < tagsPerBlock; tag++) answer.writeFloatBE((counter % 100_000) + tag, 9 + tag * 4)
        answer.copy(answers, to)
      }
      socket.write(answers)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  process.send?.(address !== null && typeof address === 'object' ? address.port : 0)
}

const profile: Profile = profileOf({
  profile: 'bench',
  title,
  source: 'made for the benchmark',
  confidence: 'own',
  driver: 'modbus',
  modbus: {},
  tags: Array.from({ length: blocks * tagsPerBlock }, (_, index) => ({
    name: `t${index}`,
    title,
    register: Math.floor(index / tagsPerBlock) * blockDistance + (index % tagsPerBlock) * 2,
    type: 'f32',
    class: 'raw',
    scan: 'fast',
    deadband: 0.5,
  })),
})

interface Watch {
  stop(): { cpuPercent: number; rssMiB: number }
}

function watch(): Watch {
  const cpu = process.cpuUsage()
  const from = performance.now()
  return {
    stop: () => {
      const { user, system } = process.cpuUsage(cpu)
      return {
        cpuPercent: ((user + system) / 1000 / (performance.now() - from)) * 100,
        rssMiB: process.memoryUsage.rss() / 2 ** 20,
      }
    },
  }
}

async function edge(port: number, connections: number, maxInFlight: number, seconds: number): Promise<void> {
  const site = siteOf(
    {
      channels: Array.from({ length: connections }, (_, index) => ({
        id: `c${index}`,
        driver: 'modbus',
        host: '127.0.0.1',
        port,
        timeoutMs: 900,
        maxInFlight,
      })),
      devices: Array.from({ length: devices }, (_, index) => ({
        site: 'bench',
        id: `d${index}`,
        channel: `c${index % connections}`,
        unitId: 1 + Math.floor(index / connections),
        profile: 'bench',
      })),
      scanClasses: { fast: scanMs, normal: scanMs, slow: scanMs },
    },
    [profile],
  )
  let readings = 0
  const acquisition = await openAcquisition(site, {
    clock: systemClock,
    ticker: systemTicker,
    log: silentLogger,
    logbook: { lastRow: () => null },
    sink: {
      report: batch => {
        readings += batch.readings.length
      },
      deviceState: () => {},
      diagnosis: () => {},
    },
  })
  acquisition.setAlarmLimits(new Map())
  acquisition.start()
  await pause(3000)
  const before = readings
  const watching = watch()
  await pause(seconds * 1000)
  const used = watching.stop()
  const cost: Cost = { ...used, readings: readings - before, missed: missedBy(acquisition) }
  await acquisition.close()
  process.send?.(cost)
}

function missedBy(acquisition: Awaited<ReturnType<typeof openAcquisition>>): number {
  let missed = 0
  for (const { site, device } of acquisition.devices) {
    missed += acquisition.diagnosis(`${site}:${device}`).counters.missedScans ?? 0
  }
  return missed
}

/** The same requests at the same times; answers are only counted. */
async function bare(port: number, connections: number, maxInFlight: number, seconds: number): Promise<void> {
  const perScan = blocks * (devices / connections)
  const request = Buffer.from([0, 0, 0, 0, 0, 6, 1, 3, 0, 0, 0, registersPerBlock])
  const answerBytes = 9 + registersPerBlock * 2
  let requests = 0
  const start = performance.now() + 500
  for (let index = 0; index < connections; index++) {
    const input = Buffer.alloc(2048)
    let asked = 0
    let bytes = 0
    const socket = connect({
      host: '127.0.0.1',
      port,
      noDelay: true,
      onread: {
        buffer: input,
        callback: count => {
          bytes += count
          while (bytes >= answerBytes) {
            bytes -= answerBytes
            requests++
            if (asked < perScan) ask()
          }
          return true
        },
      },
    })
    const ask = () => {
      asked++
      socket.write(request)
    }
    let due = start + Math.floor((scanMs * index) / connections / 25) * 25
    const scan = () => {
      due += scanMs
      setTimeout(scan, due - performance.now())
      asked = 0
      for (let first = 0; first < maxInFlight; first++) ask()
    }
    setTimeout(scan, due - performance.now())
  }
  await pause(3000)
  const before = requests
  const watching = watch()
  await pause(seconds * 1000)
  const used = watching.stop()
  const wanted = devices * blocks * seconds * (1000 / scanMs)
  if (requests - before < wanted * 0.98) throw new Error(`${requests - before} requests instead of ${wanted}`)
  process.send?.({ ...used, readings: 0, missed: 0 } satisfies Cost)
  process.exit()
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

if (import.meta.main) {
  const [role, port, connections, maxInFlight, seconds] = process.argv.slice(2)
  const numbers = [Number(port), Number(connections), Number(maxInFlight), Number(seconds)] as const
  if (role === 'server') await serve()
  else if (role === 'edge') await edge(...numbers)
  else if (role === 'bare') await bare(...numbers)
  else console.log(formatRows(await benchModbus()))
}
