import { connect } from 'node:net'
import { serve } from './role.ts'

/** The ceiling of reading Modbus: the same requests at the same times over bare sockets; answers are only counted. */

const registers = 20
const blockDistance = 200
const answerBytes = 9 + registers * 2

interface Reads {
  readonly port: number
  readonly connections: number
  readonly maxInFlight: number
  readonly devices: number
  readonly blocks: number
  readonly scanMs: number
  readonly seconds: number
}

async function read(reads: Reads): Promise<{ cpuPercent: number; rssMiB: number; requests: number }> {
  const counted = { requests: 0 }
  const start = performance.now() + 500
  const sockets = Array.from({ length: reads.connections }, (_, index) => reader(reads, index, start, counted))
  await new Promise(resolve => setTimeout(resolve, 3_000))
  const before = counted.requests
  const cpu = process.cpuUsage()
  const from = performance.now()
  await new Promise(resolve => setTimeout(resolve, reads.seconds * 1_000))
  const { user, system } = process.cpuUsage(cpu)
  const used = {
    cpuPercent: (user + system) / 10 / (performance.now() - from),
    rssMiB: process.memoryUsage.rss() / 2 ** 20,
    requests: counted.requests - before,
  }
  for (const { stop } of sockets) stop()
  return used
}

function reader(reads: Reads, index: number, start: number, counted: { requests: number }): { stop: () => void } {
  const { port, connections, maxInFlight, devices, blocks, scanMs } = reads
  const units = Math.ceil((devices - index) / connections)
  const perScan = blocks * units
  const input = Buffer.alloc(4096)
  const request = Buffer.from([0, 0, 0, 0, 0, 6, 1, 3, 0, 0, 0, registers])
  let asked = perScan
  let bytes = 0
  let timer: NodeJS.Timeout | undefined
  const ask = (): void => {
    request[6] = 1 + Math.floor(asked / blocks)
    request.writeUInt16BE((asked % blocks) * blockDistance, 8)
    asked++
    socket.write(Buffer.from(request))
  }
  const socket = connect({
    ...{ host: '127.0.0.1', port, noDelay: true },
    onread: {
      buffer: input,
      callback: count => {
        for (bytes += count; bytes >= answerBytes; bytes -= answerBytes) {
          counted.requests++
          if (asked < perScan) ask()
        }
        return true
      },
    },
  })
  let due = start + (scanMs * index) / connections
  const scan = (): void => {
    due += scanMs
    timer = setTimeout(scan, due - performance.now())
    asked = 0
    for (let first = 0; first < Math.min(maxInFlight, perScan); first++) ask()
  }
  timer = setTimeout(scan, due - performance.now())
  return {
    stop: () => {
      clearTimeout(timer)
      socket.destroy()
    },
  }
}

serve({ read })
