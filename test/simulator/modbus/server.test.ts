import { systemTicker } from '@penstock/core/runtime/clock.ts'
import { RegisterBank } from '@penstock/simulator/modbus/registers.ts'
import { type ModbusServer, openModbusServer } from '@penstock/simulator/modbus/server.ts'
import { exceptions, registerUnit, type Unit } from '@penstock/simulator/modbus/unit.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { turn } from '../../support/manual-time.ts'
import { mbap, payload, RawClient, read, write } from '../raw-client.ts'

const written: { address: number; values: readonly number[] }[] = []

function words(): Unit {
  const bank = new RegisterBank('ABCD', [
    { start: 0, length: 200 },
    { start: 65534, length: 2 },
  ])
  for (let address = 0; address < 200; address++) bank.u16(address, 1000 + address)
  return registerUnit(bank, {
    functions: [3, 4, 6, 16],
    onWrite: (address, values) => {
      if (address >= 200) return exceptions.illegalAddress
      written.push({ address, values })
      return null
    },
  })
}

const bits: Unit = {
  functions: new Set([1, 2]),
  readWords: () => false,
  readBits: (table, address, count) =>
    address + count > 20
      ? null
      : Array.from({ length: count }, (_, place) => ((address + place) % 3 === 0) !== (table === 'coil')),
  writeWords: () => exceptions.illegalAddress,
}

let server: ModbusServer
let client: RawClient

beforeEach(async () => {
  written.length = 0
  server = await openModbusServer({
    host: '127.0.0.1',
    port: 0,
    units: new Map([
      [1, words()],
      [2, bits],
      [7, words()],
    ]),
    unknownUnit: 'silent',
    faultOf: () => null,
    ticker: systemTicker,
  })
  client = await RawClient.connect(server.port)
})

afterEach(async () => {
  client.close()
  await server.close()
})

const code = (frame: Buffer): string => frame.subarray(7).toString('hex')

describe('reading', () => {
  it.each([3, 4])(
    'answers function %i with the registers asked for, under the transaction and unit of the request',
    async fc => {
      client.send(mbap(0xbeef, 7, read(fc, 198, 2)))
      expect((await client.bytes(13)).toString('hex')).toBe(
        `beef0000000707${fc.toString(16).padStart(2, '0')}0404ae04af`,
      )
    },
  )

  it('answers 125 registers, and 126 or none with exception 3', async () => {
    expect((await client.ask(1, read(3, 0, 125))).length).toBe(9 + 250)
    expect(code(await client.ask(1, read(3, 0, 126)))).toBe('8303')
    expect(code(await client.ask(1, read(3, 0, 0)))).toBe('8303')
  })

  it('packs bits from the lowest up and pads with zeros', async () => {
    expect(payload(await client.ask(2, read(2, 0, 10))).toString('hex')).toBe('4902')
    expect(payload(await client.ask(2, read(1, 0, 3))).toString('hex')).toBe('06')
    expect(code(await client.ask(2, read(1, 0, 2001)))).toBe('8103')
    expect(code(await client.ask(2, read(2, 19, 2)))).toBe('8202')
  })

  it('answers an address that does not exist, or the end of the table, with exception 2', async () => {
    expect(code(await client.ask(1, read(3, 199, 2)))).toBe('8302')
    expect(code(await client.ask(1, read(3, 65535, 2)))).toBe('8302')
    expect((await client.ask(1, read(3, 65534, 2))).length).toBe(13)
  })

  it('answers a function that the unit does not know with exception 1', async () => {
    expect(code(await client.ask(2, read(3, 0, 1)))).toBe('8301')
    expect(code(await client.ask(1, [43, 14, 1, 0]))).toBe('ab01')
  })

  it('answers a request cut short inside a whole frame with exception 3', async () => {
    expect(code(await client.ask(1, [3, 0, 0]))).toBe('8303')
  })
})

describe('writing', () => {
  it('takes one register and gives the request back', async () => {
    expect(code(await client.ask(1, [6, 0, 5, 0x12, 0x34]))).toBe('0600051234')
    expect(written).toEqual([{ address: 5, values: [0x1234] }])
  })

  it('takes several and says how many', async () => {
    expect(code(await client.ask(1, write(10, [1, 65535])))).toBe('10000a0002')
    expect(written).toEqual([{ address: 10, values: [1, 65535] }])
  })

  it('refuses a byte count that does not fit, and an address that is not writable', async () => {
    expect(code(await client.ask(1, [16, 0, 0, 0, 2, 3, 0, 0, 0, 0]))).toBe('9003')
    expect(code(await client.ask(1, write(300, [1])))).toBe('9002')
    expect(written).toEqual([])
  })
})

describe('connections', () => {
  it('answers requests that arrive together, in order', async () => {
    const requests = [
      mbap(1, 1, read(3, 0, 1)),
      mbap(2, 9, read(3, 0, 1)),
      mbap(3, 7, read(3, 1, 1)),
      mbap(4, 2, read(3, 0, 1)),
    ]
    client.send(Buffer.concat(requests))
    const answers = await client.bytes(11 + 11 + 9)
    expect(answers.toString('hex')).toBe(
      '0001000000050103' + '0203e8' + '0003000000050703' + '0203e9' + '000400000003028301',
    )
  })

  it('waits for the rest of a request that arrives in pieces', async () => {
    const request = mbap(5, 1, read(3, 0, 1))
    for (const byte of request) {
      client.send(Buffer.from([byte]))
      // Lets the byte arrive alone.
      for (let turns = 0; turns < 5; turns++) await turn()
    }
    expect((await client.bytes(11)).toString('hex')).toBe('00050000000501030203e8')
  })

  it('serves several clients', async () => {
    const others = await Promise.all(Array.from({ length: 8 }, () => RawClient.connect(server.port)))
    const answers = await Promise.all(others.map((other, place) => other.ask(1, read(3, place, 1))))
    expect(answers.map(answer => answer.readUInt16BE(9))).toEqual([1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007])
    expect(server.connections).toBe(9)
    for (const other of others) other.close()
  })

  it('says nothing to a unit id that is not there', async () => {
    expect(await client.tryAsk(99, read(3, 0, 1), () => server.requests)).toBeNull()
    expect((await client.ask(1, read(3, 0, 1))).length).toBe(11)
  })

  it.each([
    ['a protocol id that is not 0', '0001000100060103000000010000'],
    ['a length beyond the longest frame', '000100000100010300000001'],
    ['a length of one', '0001000000010103'],
  ])('closes the connection on %s', async (_, bytes) => {
    client.send(Buffer.from(bytes, 'hex'))
    await client.closed()
    expect(client.received).toBe(0)
  })

  it('ends its side when the client ends its own', async () => {
    await client.ask(1, read(3, 0, 1))
    client.end()
    expect(await client.closed()).toBe('end')
  })

  it('names the port that is taken', async () => {
    const options = {
      host: '127.0.0.1',
      port: server.port,
      units: new Map(),
      faultOf: () => null,
      ticker: systemTicker,
    }
    await expect(openModbusServer({ ...options, unknownUnit: 'silent' })).rejects.toMatchObject({
      code: 'port-in-use',
      details: { port: server.port },
    })
  })
})

it('answers an unknown unit id with exception 0x0B where it is set so', async () => {
  const gateway = await openModbusServer({
    host: '127.0.0.1',
    port: 0,
    units: new Map(),
    unknownUnit: 'exception',
    faultOf: () => null,
    ticker: systemTicker,
  })
  const other = await RawClient.connect(gateway.port)
  expect(code(await other.ask(3, read(3, 0, 1)))).toBe('830b')
  other.close()
  await gateway.close()
})
