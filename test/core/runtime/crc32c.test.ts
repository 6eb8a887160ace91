import { crc32c, crc32cOfNumber } from '@penstock/core/runtime/crc32c.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'

test.each([
  ['check value of the catalogue', Buffer.from('123456789'), 0xe3069283],
  ['RFC 3720 B.4: 32 bytes of zeroes', Buffer.alloc(32), 0x8a9136aa],
  ['RFC 3720 B.4: 32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['RFC 3720 B.4: 32 incrementing bytes', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ['RFC 3720 B.4: 32 decrementing bytes', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c],
  ['nothing', Buffer.alloc(0), 0],
])('%s', (_, bytes, expected) => {
  expect(crc32c(bytes)).toBe(expected)
})

test('in parts as in one', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, at) => {
      const cut = Math.min(at, bytes.length)
      expect(crc32c(bytes, crc32c(bytes, 0, 0, cut), cut)).toBe(crc32c(bytes))
    }),
  )
})

test('of a number as of its eight bytes', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.nat(), (value, previous) => {
      const bytes = Buffer.alloc(8)
      bytes.writeBigUInt64LE(BigInt(value))
      expect(crc32cOfNumber(value, previous)).toBe(crc32c(bytes, previous))
    }),
  )
})
