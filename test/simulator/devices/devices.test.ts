import { openSimulator, type Simulator } from '@penstock/simulator/simulator.ts'
import ModbusModule from 'modbus-serial'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualTime } from '../../support/manual-time.ts'
import { mbap, RawClient } from '../raw-client.ts'

// modbus-serial is an independent client: bytes and words are taken apart here by hand, not by code of ours.
const { default: ModbusRTU } = ModbusModule
type Peer = InstanceType<typeof ModbusRTU>

let time: ManualTime
let city: Simulator
const peers: Peer[] = []

beforeEach(async () => {
  time = new ManualTime(Date.UTC(2026, 5, 15, 4))
  city = await openSimulator({ scenario: 'calm-day', clock: time, ticker: time })
})

afterEach(async () => {
  for (const peer of peers.splice(0)) await new Promise<void>(done => peer.close(() => done()))
  await city.close()
})

async function peer(site: string, unitId: number): Promise<Peer> {
  const client = new ModbusRTU()
  await client.connectTCP('127.0.0.1', { port: city.port(site) })
  client.setID(unitId)
  client.setTimeout(5000)
  peers.push(client)
  return client
}

async function bytes(client: Peer, address: number, count: number): Promise<Buffer> {
  return (await client.readHoldingRegisters(address, count)).buffer
}

const swapped = (buffer: Buffer, at: number): Buffer =>
  Buffer.concat([buffer.subarray(at + 2, at + 4), buffer.subarray(at, at + 2)])

describe('mfe600c', () => {
  it('shows flow, totals and alarms big-endian from register 0', async () => {
    const client = await peer('waterworks', 1)
    await time.advance(30_000)
    const image = await bytes(client, 0, 18)
    expect(image.readFloatBE(0)).toBeCloseTo(Number(city.values('waterworks', 'fm-1').flow), 2)
    expect(image.readFloatBE(0)).toBeGreaterThan(3500)
    const total = BigInt(image.readUInt32BE(6)) * 1000n + BigInt(Math.round(image.readFloatBE(10) * 1000))
    expect(total.toString()).toBe(city.values('waterworks', 'fm-1').total)
    expect([4, 14, 24, 26, 28, 30, 32, 34].map(at => image.readUInt16BE(at))).toEqual([5, 1, 1, 0, 0, 0, 0, 0])
    expect((await client.readInputRegisters(0, 18)).buffer.toString('hex')).toBe(image.toString('hex'))
  })

  it('goes on showing a finite flow with an empty pipe, and says so', async () => {
    city.act({ device: { site: 'waterworks', device: 'fm-1', setting: 'emptyPipe', value: true } }, 5000)
    const client = await peer('waterworks', 1)
    const image = await bytes(client, 0, 18)
    expect(image.readUInt16BE(30)).toBe(1)
    expect(Number.isFinite(image.readFloatBE(0))).toBe(true)
    await time.advance(6000)
    expect((await bytes(client, 15, 1)).readUInt16BE(0)).toBe(0)
  })
})

describe('tuf2000', () => {
  it('answers the request of the manual, low word first', async () => {
    const client = await RawClient.connect(city.port('thermal'))
    // 01 03 00 00 00 0A C5 CD of the manual, without the unit id and the CRC of the serial line
    client.send(mbap(1, 1, [...Buffer.from('030000000A', 'hex')]))
    const answer = await client.bytes(29)
    expect(answer.subarray(0, 9).toString('hex')).toBe('000100000017010314')
    expect(swapped(answer, 9).readFloatBE(0)).toBeCloseTo(Number(city.values('thermal', 'fm-1').flow), 2)
    client.close()
  })

  it('shows registers 9 to 12 as total and 1438, 1439 as unit and multiplier', async () => {
    const client = await peer('thermal', 1)
    await time.advance(10_000)
    const image = await bytes(client, 8, 4)
    const total =
      BigInt(swapped(image, 0).readUInt32BE()) * 1000n + BigInt(Math.round(swapped(image, 4).readFloatBE() * 1000))
    expect(total.toString()).toBe(city.values('thermal', 'fm-1').total)
    expect((await bytes(client, 1436, 3)).toString('hex')).toBe('000000000003')
  })

  it('shows the same total in other units when its multiplier is written', async () => {
    const client = await peer('thermal', 1)
    const before = BigInt(String(city.values('thermal', 'fm-1').total))
    await client.writeRegister(1438, 1)
    await time.advance(200)
    const image = await bytes(client, 8, 4)
    const total = BigInt(String(city.values('thermal', 'fm-1').total))
    expect(total - before).toBeLessThan(100n)
    expect(BigInt(swapped(image, 0).readUInt32BE())).toBe((total / 10n) & 0xffff_ffffn)
    expect(Math.round(swapped(image, 4).readFloatBE() * 10)).toBe(Number(total % 10n))
    await expect(client.writeRegister(1438, 8)).rejects.toMatchObject({ modbusCode: 3 })
    await expect(client.writeRegister(0, 1)).rejects.toMatchObject({ modbusCode: 2 })
    await expect(client.readInputRegisters(0, 2)).rejects.toMatchObject({ modbusCode: 1 })
  })
})

describe('midas', () => {
  const state = async (client: Peer): Promise<number> => (await bytes(client, 0, 1)).readUInt16BE(0)

  it('shows state, concentration, unit, cell and thresholds', async () => {
    const client = await peer('waterworks', 11)
    await time.advance(1000)
    const image = await bytes(client, 0, 16)
    expect(image.readUInt16BE(0) & 0x00ff).toBe(1)
    expect(swapped(image, 4).readFloatBE()).toBeCloseTo(Number(city.values('waterworks', 'cl2-1').concentration), 6)
    expect([10, 13, 14, 16].map(at => (at === 13 ? image.readUInt8(at) : image.readUInt16BE(at)))).toEqual([
      0, 1, 21, 8760,
    ])
    expect(swapped(image, 24).readFloatBE()).toBeCloseTo(0.33, 6)
    expect(swapped(image, 28).readFloatBE()).toBeCloseTo(0.67, 6)
  })

  it('toggles its heartbeat bit every two seconds', async () => {
    const client = await peer('waterworks', 11)
    const beats: number[] = []
    for (let second = 0; second < 8; second++) {
      await time.advance(1000)
      beats.push(((await state(client)) >> 11) & 1)
    }
    expect(beats.join('')).toMatch(/^(01100110|00110011|11001100|10011001)$/)
  })

  it('raises its own alarm bits, holds them down while inhibited, and knows only its commands', async () => {
    city.act({ leak: { site: 'waterworks', room: 'chlorine-room', mgPerSecond: 40 } })
    const client = await peer('waterworks', 11)
    await time.advance(60_000)
    expect((await state(client)) & 0xff).toBe(0xc1)
    await client.writeRegisters(20, [0x025e, 0x3626])
    await time.advance(1000)
    expect((await state(client)) & 0xff).toBe(0x02)
    await client.writeRegisters(20, [0x055e, 0x3626])
    await time.advance(1000)
    expect((await state(client)) & 0xff).toBe(0xc1)
    await expect(client.writeRegisters(20, [0x015e, 1])).rejects.toMatchObject({ modbusCode: 3 })
    await expect(client.writeRegisters(0, [1, 2])).rejects.toMatchObject({ modbusCode: 2 })
  })

  it.each([
    [21, 1],
    [61, 2],
  ])('shows fault code %i with fault bits %i', async (faultCode, bits) => {
    city.act({ device: { site: 'waterworks', device: 'cl2-2', setting: 'faultCode', value: faultCode } })
    const image = await bytes(await peer('waterworks', 12), 0, 16)
    expect([(image.readUInt16BE(0) >> 4) & 3, image.readUInt16BE(10)]).toEqual([bits, faultCode])
  })
})

describe('level-generic and signals', () => {
  it('shows level, temperature and status', async () => {
    const client = await peer('cold-store', 5)
    const image = await bytes(client, 0, 5)
    expect(image.readFloatBE(0)).toBeCloseTo(70, 0)
    expect(image.readFloatBE(4)).toBeGreaterThan(25)
    expect(image.readUInt16BE(8)).toBe(0)
    city.act({ device: { site: 'cold-store', device: 'level-1', setting: 'sensorFault', value: true } })
    const broken = await bytes(client, 0, 5)
    expect([broken.readFloatBE(0), broken.readUInt16BE(8)]).toEqual([0, 1])
  })

  it('shows contacts as coils, inputs and one word', async () => {
    const client = await peer('waterworks', 20)
    city.act({ pump: { site: 'waterworks', flow: 'intake-1', mode: 'on' } })
    city.act({ level: { site: 'waterworks', tank: 'clear-water', level: 0.99 } })
    await time.advance(1000)
    const inputs = await client.readDiscreteInputs(0, 4)
    expect(inputs.data.slice(0, 4)).toEqual([true, false, false, true])
    expect((await client.readCoils(0, 4)).data.slice(0, 4)).toEqual(inputs.data.slice(0, 4))
    expect((await client.readInputRegisters(0, 1)).data).toEqual([0b1001])
    await expect(client.readHoldingRegisters(0, 1)).rejects.toMatchObject({ modbusCode: 1 })
  })

  it('refuses a setting that the instrument does not have', () => {
    const action = { device: { site: 'waterworks', device: 'fm-1', setting: 'colour', value: 1 } }
    expect(() => city.act(action)).toThrow('emptyPipe')
  })
})
