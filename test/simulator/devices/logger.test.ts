import { Distortion } from '@penstock/simulator/devices/instrument.ts'
import { type LoggerRows, logger } from '@penstock/simulator/devices/logger.ts'
import { execute } from '@penstock/simulator/modbus/pdu.ts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mbap, payload, read, write } from '../raw-client.ts'

const rows = (length: number): LoggerRows => ({
  length,
  stamp: index => 1_456_765_200 + 3600 * index,
  total: index => 5_000_000_000 + 7 * index,
})

function open(length: number) {
  const instrument = logger(
    { rows: rows(length), resolutionCode: 0 },
    { distortion: new Distortion(), onRead: () => {} },
  )
  const ask = (pdu: number[]): Buffer => execute(instrument.unit, mbap(1, 1, pdu))
  const words = (address: number, count: number): Buffer => payload(ask(read(3, address, count)))
  return {
    instrument,
    newest: () => words(0, 2).readUInt32BE(),
    oldest: () => words(2, 2).readUInt32BE(),
    confirm: (row: number) =>
      ask(write(10, [Math.floor(row / 65536), row % 65536]))
        .subarray(7)
        .toString('hex'),
    confirmed: () => words(10, 2).readUInt32BE(),
    row: (number: number) => {
      const data = words(100 + 10 * ((number - 1) % 64), 10)
      return {
        row: data.readUInt32BE(),
        stamp: data.readUInt32BE(4),
        total: data.readBigUInt64BE(8),
        rest: data.readUInt32BE(16),
      }
    },
    words,
    ask,
  }
}

describe('the ring of a data logger', () => {
  it('holds the first 64 rows and waits', () => {
    const device = open(200)
    expect([device.newest(), device.oldest(), device.confirmed()]).toEqual([64, 1, 0])
    expect(device.words(4, 2).toString('hex')).toBe('00400000')
    expect(device.row(1)).toEqual({ row: 1, stamp: 1_456_765_200, total: 5_000_000_000n, rest: 0 })
    expect(device.row(64).row).toBe(64)
  })

  it('writes row n + 64 when row n has been read, and no earlier', () => {
    const device = open(200)
    expect(device.confirm(5)).toBe('10000a0002')
    expect([device.newest(), device.oldest()]).toEqual([69, 6])
    expect(device.row(5)).toEqual({ row: 69, stamp: 1_456_765_200 + 3600 * 68, total: 5_000_000_476n, rest: 0 })
    expect(device.row(6).row).toBe(6)
  })

  it('refuses to believe that a row was read which it has not written', () => {
    const device = open(200)
    expect(device.confirm(65)).toBe('9003')
    expect(device.newest()).toBe(64)
  })

  it('takes an older number for what it is: said before', () => {
    const device = open(200)
    device.confirm(40)
    expect(device.confirm(10)).toBe('10000a0002')
    expect([device.confirmed(), device.newest()]).toEqual([40, 104])
  })

  it('takes the number only whole and only at its registers', () => {
    const device = open(10)
    expect(
      device
        .ask(write(10, [1]))
        .subarray(7)
        .toString('hex'),
    ).toBe('9003')
    expect(
      device
        .ask(write(11, [0, 1]))
        .subarray(7)
        .toString('hex'),
    ).toBe('9002')
    expect(device.ask([6, 0, 10, 0, 1]).subarray(7).toString('hex')).toBe('8601')
  })

  it('has nothing to show before its first row', () => {
    const device = open(0)
    expect([device.newest(), device.oldest(), device.row(1).row]).toEqual([0, 0, 0])
  })

  it('goes on where it was when it is restored', () => {
    const before = open(200)
    before.confirm(50)
    const after = open(200)
    after.instrument.restore(before.instrument.save())
    expect([after.newest(), after.oldest(), after.confirmed(), after.row(60).row, after.row(110).row]).toEqual([
      114, 51, 50, 60, 110,
    ])
  })

  it('gives a reader every row once and in order, however many it takes at a time', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 400 }),
        fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1 }),
        (length, sizes) => {
          const device = open(length)
          const seen: number[] = []
          for (let turn = 0; seen.length < length; turn++) {
            const upTo = Math.min(device.newest(), seen.length + (sizes[turn % sizes.length] ?? 1))
            expect(device.newest()).toBeLessThanOrEqual(device.confirmed() + 64)
            for (let number = seen.length + 1; number <= upTo; number++) seen.push(device.row(number).row)
            device.confirm(upTo)
          }
          expect(seen).toEqual(Array.from({ length }, (_, index) => index + 1))
          expect(device.newest()).toBe(length)
        },
      ),
      { numRuns: Number(process.env.PENSTOCK_RUNS ?? 30) },
    )
  })
})
