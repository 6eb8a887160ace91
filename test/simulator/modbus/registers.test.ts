import { RegisterBank, type WordOrder } from '@penstock/simulator/modbus/registers.ts'
import { describe, expect, it } from 'vitest'

function hex(order: WordOrder, put: (bank: RegisterBank) => void, words: number): string {
  const bank = new RegisterBank(order, [{ start: 0, length: words }])
  put(bank)
  const bytes = Buffer.alloc(2 * words)
  bank.copy(0, words, bytes, 0)
  return bytes.toString('hex').toUpperCase()
}

describe('values over several registers', () => {
  it.each([
    ['ABCD', '449A5000'],
    ['CDAB', '5000449A'],
    ['BADC', '9A440050'],
    ['DCBA', '00509A44'],
  ] as const)('puts the float 1234.5 as %s into %s', (order, expected) => {
    expect(hex(order, bank => bank.f32(0, 1234.5), 2)).toBe(expected)
  })

  it('puts the float 12.5 with the low word first as a Midas does', () => {
    expect(hex('CDAB', bank => bank.f32(0, 12.5), 2)).toBe('00004148')
  })

  it.each([
    ['ABCD', '0012D6873E800000'],
    ['CDAB', 'D687001200003E80'],
  ] as const)('puts the integer 1234567 and the fraction 0.25 as %s into %s', (order, expected) => {
    const put = (bank: RegisterBank) => {
      bank.u32(0, 1234567)
      bank.f32(2, 0.25)
    }
    expect(hex(order, put, 4)).toBe(expected)
  })

  it.each([
    ['ABCD', '0102030405060708'],
    ['CDAB', '0708050603040102'],
    ['BADC', '0201040306050807'],
    ['DCBA', '0807060504030201'],
  ] as const)('puts a 64-bit integer as %s', (order, expected) => {
    expect(hex(order, bank => bank.u64(0, 0x0102030405060708n), 4)).toBe(expected)
  })

  it('puts not-a-number as 7FC00000 and u32 to the last count', () => {
    expect(hex('ABCD', bank => bank.f32(0, Number.NaN), 2)).toBe('7FC00000')
    expect(hex('ABCD', bank => bank.u32(0, 4294967295), 2)).toBe('FFFFFFFF')
  })
})

describe('areas', () => {
  const bank = new RegisterBank('ABCD', [
    { start: 10, length: 2 },
    { start: 20, length: 4 },
  ])

  it('copies only what lies wholly in one area', () => {
    const bytes = Buffer.alloc(20)
    expect(bank.copy(10, 2, bytes, 0)).toBe(true)
    expect(bank.copy(21, 3, bytes, 0)).toBe(true)
    expect(bank.copy(9, 2, bytes, 0)).toBe(false)
    expect(bank.copy(11, 2, bytes, 0)).toBe(false)
    expect(bank.copy(10, 12, bytes, 0)).toBe(false)
  })

  it('refuses to put a value where registers are missing', () => {
    expect(() => bank.f32(11, 1)).toThrow(RangeError)
  })
})
