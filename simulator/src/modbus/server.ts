import { createServer, type Server, type Socket } from 'node:net'
import type { Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { exceptionAnswer, execute } from './pdu.ts'
import { exceptions, type Unit } from './unit.ts'

/** What goes wrong on the wire instead of a right answer. */
export type WireFault =
  | { readonly kind: 'timeout' | 'half-open' | 'reset' | 'wrong-unit' | 'wrong-transaction' | 'garbage' | 'truncated' }
  | { readonly kind: 'late'; readonly delayMs: number }
  | { readonly kind: 'exception'; readonly code: number }

export interface ModbusServerOptions {
  readonly host: string
  /** 0: a free one */
  readonly port: number
  readonly units: ReadonlyMap<number, Unit>
  /** what a request to a unit id that is not there gets: nothing, or exception 0x0B as gateways give it */
  readonly unknownUnit: 'silent' | 'exception'
  /** asked for each request, and with null for the port as a whole when a client hangs up; null: behave rightly */
  readonly faultOf: (unitId: number | null) => WireFault | null
  readonly ticker: Ticker
}

export interface ModbusServer {
  readonly port: number
  readonly requests: number
  readonly connections: number
  /** RST to every connected client */
  resetAll(): void
  close(): Promise<void>
}

const headerSize = 7
const longestLength = 254
const mostConnections = 256
const garbage = Buffer.from('de ad be ef 00 ff 13 37 55 aa 42 17'.replaceAll(' ', ''), 'hex')

/**
 * A Modbus TCP server: several units on one port, any number of requests in one segment, answers in order in one write.
 * A frame with a wrong protocol id or length cannot be resynchronised and closes the connection.
 * A client that does not read its answers is read no further until it does; more than 256 clients are turned away.
 * @throws PenstockError `port-in-use`
 */
export async function openModbusServer(options: ModbusServerOptions): Promise<ModbusServer> {
  const sockets = new Set<Socket>()
  /** clients have hung up, and a half-open line does not notice */
  const unnoticed = new Set<Socket>()
  const count = { requests: 0 }
  const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    sockets.add(socket)
    if (options.faultOf(null)?.kind !== 'half-open') for (const gone of unnoticed) gone.end()
    socket.on('close', () => {
      sockets.delete(socket)
      unnoticed.delete(socket)
    })
    socket.on('error', () => socket.destroy())
    socket.on('end', () => {
      if (options.faultOf(null)?.kind === 'half-open') unnoticed.add(socket)
      else socket.end()
    })
    const serve = serveConnection(socket, options, count)
    socket.on('data', serve)
  })
  server.maxConnections = mostConnections
  await listen(server, options.host, options.port)
  const address = server.address()
  let closing: Promise<void> | undefined
  return {
    port: address !== null && typeof address === 'object' ? address.port : options.port,
    get requests() {
      return count.requests
    },
    get connections() {
      return sockets.size
    },
    resetAll: () => {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    close: () => {
      closing ??= new Promise(resolve => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
      return closing
    },
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', error => {
      const inUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
      reject(inUse ? new PenstockError('port-in-use', { port, host, option: '--port-base' }, { cause: error }) : error)
    })
    server.listen(port, host, resolve)
  })
}

function serveConnection(socket: Socket, options: ModbusServerOptions, count: { requests: number }) {
  let rest: Buffer | null = null
  return (chunk: Buffer): void => {
    const input: Buffer = rest ? Buffer.concat([rest, chunk]) : chunk
    const answers: Buffer[] = []
    let offset = 0
    while (input.length - offset > headerSize) {
      const length = input.readUInt16BE(offset + 4)
      if (input.readUInt16BE(offset + 2) !== 0 || length < 2 || length > longestLength) return void socket.destroy()
      const end = offset + 6 + length
      if (end > input.length) break
      count.requests++
      const done = respond(socket, input.subarray(offset, end), options)
      if (done === 'closed') return
      if (done) answers.push(done)
      offset = end
    }
    rest = offset < input.length ? Buffer.from(input.subarray(offset)) : null
    send(socket, answers)
  }
}

function send(socket: Socket, answers: readonly Buffer[]): void {
  const [first] = answers
  if (!first || socket.destroyed) return
  if (!socket.write(answers.length === 1 ? first : Buffer.concat(answers))) {
    socket.pause()
    socket.once('drain', () => socket.resume())
  }
}

/** The answer to one request, null for silence. */
function respond(socket: Socket, request: Buffer, options: ModbusServerOptions): Buffer | null | 'closed' {
  const unitId = request[6] ?? 0
  const unit = options.units.get(unitId)
  const fault = options.faultOf(unitId)
  if (fault?.kind === 'timeout' || fault?.kind === 'half-open') return null
  if (fault?.kind === 'reset') {
    socket.resetAndDestroy()
    return 'closed'
  }
  if (!unit) return options.unknownUnit === 'silent' ? null : exceptionAnswer(request, exceptions.targetSilent)
  if (fault?.kind === 'exception') return exceptionAnswer(request, fault.code)
  const frame = execute(unit, request)
  switch (fault?.kind) {
    case undefined:
      return frame
    case 'late': {
      const cancel = options.ticker.after(fault.delayMs, () => send(socket, [frame]))
      socket.once('close', cancel)
      return null
    }
    case 'wrong-unit':
      frame[6] = (unitId % 247) + 1
      return frame
    case 'wrong-transaction':
      frame.writeUInt16BE((frame.readUInt16BE(0) + 1) & 0xffff, 0)
      return frame
    case 'garbage':
      return garbage
    case 'truncated':
      return frame.subarray(0, Math.max(headerSize, Math.floor(frame.length / 2)))
  }
}
