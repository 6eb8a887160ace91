import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { ActionPart, FaultPart } from './scenario-file.ts'
import type { Simulator } from './simulator.ts'

export interface Control {
  readonly port: number
  readonly token: string
  close(): Promise<void>
}

const longestBody = 64 * 1024
const forMs = Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { default: null })
const FaultBody = Type.Object({ fault: FaultPart, forMs }, { additionalProperties: false })
const ActBody = Type.Object({ action: ActionPart, forMs }, { additionalProperties: false })
const StepBody = Type.Object({ ms: Type.Integer({ minimum: 1, maximum: 86_400_000 }) }, { additionalProperties: false })

/** An answer other than 200. */
class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/**
 * HTTP/JSON control on loopback, for tests and for people who try their software:
 * GET /devices /truth /plants /faults; POST /faults {fault, forMs}, /acts {action, forMs}, /pause, /resume, /step {ms}, /stop;
 * DELETE /faults, /faults/ID. Every request carries `Authorization: Bearer TOKEN`.
 * @throws PenstockError `port-in-use`
 */
export async function openControl(simulator: Simulator, port: number, stop: () => void): Promise<Control> {
  const token = randomBytes(24).toString('base64url')
  const server = createServer((request, response) => {
    respond(simulator, token, stop, request).then(
      body => send(response, 200, body),
      (error: unknown) =>
        send(response, error instanceof Refusal ? error.status : 500, { error: (error as Error).message }),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => {
      const inUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
      const details = { port, host: '127.0.0.1', option: '--control' }
      reject(inUse ? new PenstockError('port-in-use', details, { cause: error }) : error)
    })
    server.listen(port, '127.0.0.1', resolve)
  })
  const address = server.address()
  let closing: Promise<void> | undefined
  return {
    port: address !== null && typeof address === 'object' ? address.port : port,
    token,
    close: () => {
      closing ??= new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
      return closing
    },
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  response.end(`${JSON.stringify(body)}\n`)
}

async function respond(
  simulator: Simulator,
  token: string,
  stop: () => void,
  request: IncomingMessage,
): Promise<unknown> {
  if (!isAllowed(request.headers.authorization, token)) throw new Refusal(401, 'Authorization: Bearer TOKEN is missing')
  const path = (request.url ?? '/').split('?')[0] ?? '/'
  switch (`${request.method} ${path}`) {
    case 'GET /devices':
      return { scenario: simulator.scenario.scenario, elapsedMs: simulator.elapsedMs, sites: simulator.sites }
    case 'GET /truth':
      return { meters: simulator.truth }
    case 'GET /plants':
      return { elapsedMs: simulator.elapsedMs, paused: simulator.paused, sites: simulator.plants }
    case 'GET /faults':
      return { faults: simulator.faults }
    case 'POST /faults': {
      const body = await read(request, FaultBody)
      return { id: orRefuse(() => simulator.inject(body.fault, body.forMs)) }
    }
    case 'DELETE /faults':
      simulator.clearAll()
      return { faults: [] }
    case 'POST /acts': {
      const body = await read(request, ActBody)
      orRefuse(() => simulator.act(body.action, body.forMs))
      return { done: true }
    }
    case 'POST /pause':
      simulator.pause()
      return { paused: true }
    case 'POST /resume':
      simulator.resume()
      return { paused: false }
    case 'POST /step': {
      const { ms } = await read(request, StepBody)
      orRefuse(() => simulator.step(ms))
      return { elapsedMs: simulator.elapsedMs }
    }
    case 'POST /stop':
      setImmediate(stop)
      return { stopping: true }
  }
  const fault = request.method === 'DELETE' ? /^\/faults\/(\w+)$/.exec(path)?.[1] : undefined
  if (fault === undefined) throw new Refusal(404, `there is no ${request.method} ${path}`)
  if (!simulator.clear(fault)) throw new Refusal(404, `there is no fault ${fault}`)
  return { cleared: fault }
}

function isAllowed(header: string | undefined, token: string): boolean {
  const given = Buffer.from(header ?? '')
  const wanted = Buffer.from(`Bearer ${token}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

async function read<T extends TSchema>(request: IncomingMessage, schema: T): Promise<Static<T>> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > longestBody) throw new Refusal(413, `the body is longer than ${longestBody} bytes`)
    chunks.push(chunk)
  }
  let body: unknown
  try {
    body = JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw new Refusal(400, 'the body is not JSON')
  }
  const filled = Value.Default(schema, body)
  if (Value.Check(schema, filled)) return filled as Static<T>
  const [problem] = Value.Errors(schema, filled)
  throw new Refusal(400, `${problem?.instancePath || '/'}: ${problem?.message ?? 'not as it should be'}`)
}

function orRefuse<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (error instanceof RangeError) throw new Refusal(404, error.message)
    throw error
  }
}
