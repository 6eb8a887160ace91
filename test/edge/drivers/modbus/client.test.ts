import {
  type Exchange,
  type Failure,
  type ModbusClient,
  openModbusClient,
} from '@penstock/edge/drivers/modbus/client.ts'
import { dataBytes, type ReadCode, readFrame, writeFrame } from '@penstock/edge/drivers/modbus/frame.ts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ManualTime, turn } from '../../../support/manual-time.ts'
import { type RawFault, RawModbus } from '../../../support/raw-modbus.ts'

const timeoutMs = 500
let server: RawModbus
let time: ManualTime
let client: ModbusClient
let strays: string[]
const stop = new AbortController()

beforeEach(async () => {
  server = await RawModbus.open()
  time = new ManualTime()
  strays = []
  client = await openModbusClient({
    host: '127.0.0.1',
    port: server.port,
    timeoutMs,
    connectTimeoutMs: 1000,
    ticker: time,
    signal: stop.signal,
    onStray: (kind, unitId) => strays.push(`${kind} ${unitId}`),
  })
})

afterEach(async () => {
  client.close()
  await server.close()
  expect(time.pending, 'no timer is left').toBe(0)
})

type Outcome = number[] | Failure

/** A request whose outcome can be awaited. */
class Read implements Exchange {
  readonly unitId: number
  readonly functionCode: number
  frame: Buffer
  readonly answerBytes: number
  outcomes: Outcome[] = []
  #watchers: (() => void)[] = []

  constructor(unitId: number, start: number, count: number, functionCode: ReadCode = 3) {
    this.unitId = unitId
    this.functionCode = functionCode
    this.frame = readFrame(unitId, functionCode, start, count)
    this.answerBytes = dataBytes(functionCode, count)
  }

  answered(data: Buffer, from: number): void {
    this.#done([...data.subarray(from, from + this.answerBytes)])
  }

  failed(failure: Failure): void {
    this.#done(failure)
  }

  #done(outcome: Outcome): void {
    this.outcomes.push(outcome)
    for (const watcher of this.#watchers.splice(0)) watcher()
  }

  send(): this {
    client.send(this)
    return this
  }

  async outcome(): Promise<Outcome> {
    while (this.outcomes.length === 0) await new Promise<void>(resolve => this.#watchers.push(resolve))
    const [first] = this.outcomes
    return first ?? []
  }
}

const faultOn = (unitId: number, fault: RawFault) => {
  server.fault = request => (request.unitId === unitId ? fault : null)
}

test('reads registers of several units in flight, answers matched by transaction id', async () => {
  for (let unit = 1; unit <= 16; unit++) server.set(unit, 10, unit * 256, unit)
  const reads = Array.from({ length: 16 }, (_, index) => new Read(index + 1, 10, 2).send())
  for (const [index, read] of reads.entries()) expect(await read.outcome()).toEqual([index + 1, 0, 0, index + 1])
  expect(client.inFlight).toBe(0)
})

test('reads bits with function codes 1 and 2', async () => {
  server.set(1, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1)
  expect(await new Read(1, 0, 9, 1).send().outcome()).toEqual([0b0000_1101, 1])
  expect(await new Read(1, 0, 9, 2).send().outcome()).toEqual([0b0000_1101, 1])
})

test('writes registers with function code 16', async () => {
  const write = new Read(1, 10, 2)
  const exchange: Exchange = {
    unitId: 1,
    functionCode: 16,
    frame: writeFrame(1, 10, Buffer.from('00010203', 'hex')),
    answerBytes: 0,
    answered: (data, from) => write.answered(data, from),
    failed: failure => write.failed(failure),
  }
  client.send(exchange)
  await write.outcome()
  expect([server.get(1, 10), server.get(1, 11)]).toEqual([1, 0x0203])
})

test('answers that come byte by byte, and several in one segment, are put together', async () => {
  server.set(1, 0, 0xabcd)
  faultOn(1, 'bytewise')
  expect(await new Read(1, 0, 1).send().outcome()).toEqual([0xab, 0xcd])
  client.cork()
  const reads = [new Read(2, 0, 1).send(), new Read(3, 0, 1).send(), new Read(4, 0, 1).send()]
  client.uncork()
  for (const read of reads) expect(await read.outcome()).toEqual([0, 0])
})

test('an exception reaches only its own request', async () => {
  faultOn(2, { exception: 2 })
  const [good, refused] = [new Read(1, 0, 1).send(), new Read(2, 0, 1).send()]
  expect(await refused.outcome()).toEqual({ kind: 'exception', code: 2 })
  expect(await good.outcome()).toEqual([0, 0])
})

test('a silent unit times out alone; its late answer is counted and reaches nobody', async () => {
  faultOn(1, 'late')
  server.set(1, 0, 0x1111)
  server.set(2, 0, 0x2222)
  const silent = new Read(1, 0, 1).send()
  expect(await new Read(2, 0, 1).send().outcome()).toEqual([0x22, 0x22])
  await time.advance(timeoutMs - 1)
  expect(silent.outcomes).toEqual([])
  await time.advance(1)
  expect(silent.outcomes).toEqual([{ kind: 'timeout' }])
  server.release()
  // the next answer is the right one, not the late one
  expect(await new Read(2, 0, 1).send().outcome()).toEqual([0x22, 0x22])
  expect(strays).toEqual(['late 1'])
  expect(silent.outcomes).toHaveLength(1)
})

test('each request has its own time-out', async () => {
  faultOn(1, 'silent')
  const first = new Read(1, 0, 1).send()
  await time.advance(300)
  const second = new Read(1, 0, 1).send()
  await time.advance(200)
  expect([first.outcomes.length, second.outcomes.length]).toEqual([1, 0])
  await time.advance(300)
  expect(second.outcomes).toEqual([{ kind: 'timeout' }])
})

test('an answer with an unknown transaction id is foreign and dropped', async () => {
  faultOn(1, 'wrong-transaction')
  const read = new Read(1, 0, 1).send()
  await expect.poll(() => strays).toEqual(['foreign 1'])
  await time.advance(timeoutMs)
  expect(read.outcomes).toEqual([{ kind: 'timeout' }])
})

test.each(['wrong-unit', 'wrong-function', 'wrong-count', 'wrong-byte-count'] as const)(
  'an answer with %s is dropped',
  async fault => {
    faultOn(1, fault)
    const read = new Read(1, 0, 1).send()
    await expect.poll(() => strays.length).toBe(1)
    expect(strays[0]).toMatch(/^mismatched/)
    expect(read.outcomes).toEqual([])
    await time.advance(timeoutMs)
    expect(read.outcomes).toEqual([{ kind: 'protocol' }])
    // the stream is still in step
    expect(await new Read(2, 0, 1).send().outcome()).toEqual([0, 0])
  },
)

test('an answer sent twice is taken once', async () => {
  faultOn(1, 'twice')
  const read = new Read(1, 0, 1).send()
  await read.outcome()
  await expect.poll(() => strays.length).toBe(1)
  expect(read.outcomes).toHaveLength(1)
})

test('garbage cannot be resynchronised: the connection closes at once and everything in flight fails', async () => {
  server.fault = request => (request.unitId === 1 ? 'silent' : 'garbage')
  const waiting = new Read(1, 0, 1).send()
  const hit = new Read(2, 0, 1).send()
  expect(await hit.outcome()).toEqual({ kind: 'closed' })
  expect(await waiting.outcome()).toEqual({ kind: 'closed' })
  expect(await client.ended).toMatch(/^not Modbus: deadbeef/)
})

test.each(['reset', 'hang-up'] as const)('%s fails what is in flight without waiting for its time-out', async fault => {
  faultOn(1, fault)
  const read = new Read(1, 0, 1).send()
  expect(await read.outcome()).toEqual({ kind: 'closed' })
  expect(await client.ended).not.toBe('closed')
})

test('garbage while nothing is asked closes the connection too', async () => {
  server.push(Buffer.from('000000000000', 'hex'))
  expect(await client.ended).toMatch(/^not Modbus/)
})

test('transaction ids run over 16 bits', async () => {
  for (let round = 0; round < 70_000; round++) {
    const read = new Read(9, 0, 1)
    client.send(read)
    if (round % 1000 === 999) await read.outcome()
  }
  expect(client.inFlight).toBe(0)
  expect(strays).toEqual([])
})

test('a refused connection says so', async () => {
  const gone = await RawModbus.open()
  const { port } = gone
  await gone.close()
  const attempt = openModbusClient({
    host: '127.0.0.1',
    port,
    timeoutMs,
    connectTimeoutMs: 1000,
    ticker: time,
    signal: stop.signal,
    onStray: () => {},
  })
  await expect(attempt).rejects.toThrow(/ECONNREFUSED/)
})

test('closing aborts an attempt to connect', async () => {
  const abort = new AbortController()
  const attempt = openModbusClient({
    host: '127.0.0.1',
    port: server.port,
    timeoutMs,
    connectTimeoutMs: 1000,
    ticker: time,
    signal: abort.signal,
    onStray: () => {},
  })
  abort.abort(new Error('stopped'))
  await expect(attempt).rejects.toThrow('stopped')
  await turn()
})
