import { type ProfileTag, type RegisterType, type WordOrder, wordOrders } from '@penstock/core/profile/schema.ts'
import { type Decoded, decoderOf, scaler } from '@penstock/edge/drivers/modbus/decode.ts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 200)

const tag = (more: Partial<ProfileTag>): ProfileTag => ({
  name: 't',
  title: { zh: 't', en: 't' },
  register: 0,
  class: 'raw',
  scan: 'normal',
  heartbeatMs: 1000,
  ...more,
})
const decode = (hex: string, more: Partial<ProfileTag>, order: WordOrder = 'ABCD'): Decoded =>
  decoderOf(tag(more), order)(Buffer.from(`ffff${hex}`, 'hex'), 2)

/** The registers of a number as the meter would send them: written apart from the decoder, by moving bytes. */
function encode(type: RegisterType, order: WordOrder, value: number | bigint): string {
  const view = new DataView(new ArrayBuffer(8))
  const bits = { bool: 16, u16: 16, i16: 16, u32: 32, i32: 32, f32: 32, u64: 64, i64: 64, f64: 64, string: 0 }[type]
  if (type === 'f32') view.setFloat32(0, Number(value))
  else if (type === 'f64') view.setFloat64(0, Number(value))
  else {
    view.setBigUint64(0, BigInt.asUintN(bits, BigInt(value)) << BigInt(64 - bits))
  }
  const wireWords: string[] = []
  for (let at = 0; at < bits / 8; at += 2) {
    const word = view.getUint16(at)
    const swap = order === 'BADC' || order === 'DCBA'
    const sent = swap ? ((word & 0xff) << 8) | (word >> 8) : word
    wireWords.push(sent.toString(16).padStart(4, '0'))
  }
  if (order === 'CDAB' || order === 'DCBA') wireWords.reverse()
  return wireWords.join('')
}

describe('byte orders', () => {
  test.each([
    ['ABCD', '449a5000'],
    ['CDAB', '5000449a'],
    ['BADC', '9a440050'],
    ['DCBA', '00509a44'],
  ] as const)('1234.5 in order %s', (order, hex) => {
    expect(decode(hex, { type: 'f32' }, order)).toBe(1234.5)
    expect(encode('f32', order, 1234.5)).toBe(hex)
  })

  test('12.5 ppm with the low word first', () => {
    expect(decode('00004148', { type: 'f32' }, 'CDAB')).toBe(12.5)
  })

  test('0.545 m3/h of the Xintai water meter, lowest byte first', () => {
    expect(decode('1e850b3f', { type: 'f32' }, 'DCBA')).toBeCloseTo(0.545, 6)
  })

  test("a tag's own order goes before the profile's", () => {
    expect(decode('00004148', { type: 'f32', order: 'CDAB' }, 'ABCD')).toBe(12.5)
  })

  const numbers: readonly (readonly [RegisterType, fc.Arbitrary<number | bigint>])[] = [
    ['u16', fc.integer({ min: 0, max: 65535 })],
    ['i16', fc.integer({ min: -32768, max: 32767 })],
    ['u32', fc.integer({ min: 0, max: 2 ** 32 - 1 })],
    ['i32', fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })],
    ['u64', fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })],
    ['i64', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })],
    ['f32', fc.float({ noNaN: true, noDefaultInfinity: true })],
    ['f64', fc.double({ noNaN: true, noDefaultInfinity: true })],
  ]
  test.each(numbers.map(([type, values]) => ({ type, values })))(
    '$type goes round in every order',
    ({ type, values }) => {
      fc.assert(
        fc.property(values, fc.constantFrom(...wordOrders), (value, order) => {
          expect(decode(encode(type, order, value), { type }, order)).toStrictEqual(value)
        }),
        { numRuns },
      )
    },
  )
})

describe('what is not a value is bad with a reason, never 0', () => {
  test.each([
    ['7fc00000', 'f32'],
    ['ffffffff', 'f32'],
    ['7f800000', 'f32'],
    ['ff800000', 'f32'],
    ['7ff8000000000000', 'f64'],
    ['fff0000000000000', 'f64'],
  ] as const)('%s as %s is not a number', (hex, type) => {
    expect(decode(hex, { type })).toEqual({ bad: 'not-a-number' })
  })

  test('a denormal is a number', () => {
    expect(decode('00000001', { type: 'f32' })).toBeCloseTo(1.4e-45, 46)
  })

  test.each([
    ['ffff', 'u16', 65535],
    ['8000', 'i16', 0x8000],
    ['8000', 'i16', -32768],
    ['7fff', 'i16', 32767],
    ['ffffffff', 'i32', 0xffffffff],
    ['ffffffff', 'u32', -1],
  ] as const)('%s as %s with placeholder %d', (hex, type, placeholder) => {
    expect(decode(hex, { type, placeholders: [placeholder] })).toEqual({ bad: 'placeholder' })
    expect(decode(hex, { type, placeholders: [placeholder], scale: { factor: 0.1, offset: 0 } })).toEqual({
      bad: 'placeholder',
    })
  })

  test('placeholders also of masks, bits and floats', () => {
    expect(decode('ffff', { type: 'u16', mask: 0xff, placeholders: [65535] })).toEqual({ bad: 'placeholder' })
    expect(decode('ffff', { type: 'u16', bit: 3, placeholders: [65535] })).toEqual({ bad: 'placeholder' })
    expect(decode('c61c3c00', { type: 'f32', placeholders: [-9999] })).toEqual({ bad: 'placeholder' })
  })

  test('outside the measuring range, ends included', () => {
    const range = { type: 'i16', min: -5, max: 110 } as const
    expect(decode('006f', range)).toEqual({ bad: 'out-of-range' })
    expect(decode('fffa', range)).toEqual({ bad: 'out-of-range' })
    expect(decode('006e', range)).toBe(110)
    expect(decode('fffb', range)).toBe(-5)
  })

  test('the range is that of the scaled value', () => {
    const range = { type: 'u16', min: 0, max: 20, scale: { factor: 0.1, offset: 0 } } as const
    expect(decode('00bd', range)).toBe(18.9)
    expect(decode('00c9', range)).toEqual({ bad: 'out-of-range' })
  })
})

describe('parts of registers', () => {
  test('bits and Booleans', () => {
    expect(decode('0840', { type: 'u16', bit: 6 })).toBe(true)
    expect(decode('0840', { type: 'u16', bit: 7 })).toBe(false)
    expect(decode('8000', { type: 'u16', bit: 15 })).toBe(true)
    expect(decode('0000', { type: 'bool' })).toBe(false)
    expect(decode('00aa', { type: 'bool' })).toBe(true)
  })

  test('masks are shifted down', () => {
    expect(decode('0a21', { type: 'u16', mask: 0x000f })).toBe(1)
    expect(decode('0a21', { type: 'u16', mask: 0x0030 })).toBe(2)
    expect(decode('8000', { type: 'u16', mask: 0x8000 })).toBe(1)
  })

  test('a mask of one byte is scaled after the shift', () => {
    expect(decode('1409', { type: 'u16', mask: 0xff00, scale: { factor: 0.5, offset: 1 } })).toBe(11)
  })
})

test('strings end at NUL and lose their padding', () => {
  expect(decode('50656e73746f636b0000', { type: 'string', length: 5 })).toBe('Penstock')
  expect(decode('504e2020', { type: 'string', length: 2 })).toBe('PN')
  expect(decode('e6b0b40000', { type: 'string', length: 2 })).toBe('水')
  expect(decode('6550', { type: 'string', length: 1 }, 'BADC')).toBe('Pe')
})

test('scaling makes no noise of binary fractions', () => {
  expect(decode('0003', { type: 'u16', scale: { factor: 0.1, offset: 0 } })).toBe(0.3)
  expect(scaler(0.1, -40)(403)).toBe(0.3)
  fc.assert(
    fc.property(fc.integer({ min: -65536, max: 65536 }), fc.integer({ min: 1, max: 9 }), (raw, places) => {
      const text = `${raw}e-${places}`
      expect(scaler(10 ** -places, 0)(raw)).toBe(Number(text))
    }),
    { numRuns },
  )
})
