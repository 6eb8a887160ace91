import type { ProfileTag, RegisterType, WordOrder } from '@penstock/core/profile/schema.ts'
import type { Reason, Value } from '@penstock/core/reading.ts'

/** What the registers of a tag mean: a value, or the reason why there is none. */
export type Decoded = Value | Bad
export interface Bad {
  readonly bad: Reason
}
export const isBad = (decoded: Decoded): decoded is Bad => typeof decoded === 'object'

/** Decodes the bytes from `at` on; the buffer holds all of the value. */
export type Decoder = (bytes: Buffer, at: number) => Decoded

export const badNumber: Bad = { bad: 'not-a-number' }
export const badPlaceholder: Bad = { bad: 'placeholder' }
export const badRange: Bad = { bad: 'out-of-range' }
export const badConfiguration: Bad = { bad: 'configuration' }

/** Registers that a value takes. */
export const registersOf: Readonly<Record<Exclude<RegisterType, 'string'>, number>> = {
  bool: 1,
  u16: 1,
  i16: 1,
  u32: 2,
  i32: 2,
  f32: 2,
  u64: 4,
  i64: 4,
  f64: 4,
}

/** Where the bytes A (most significant) to D of a 32-bit value lie; of a 16-bit value where A and B lie. */
const places: Readonly<Record<WordOrder, readonly [number, number, number, number]>> = {
  ABCD: [0, 1, 2, 3],
  CDAB: [2, 3, 0, 1],
  BADC: [1, 0, 3, 2],
  DCBA: [3, 2, 1, 0],
}

/** Orders that send the lowest word first, and those that swap the bytes of a word. */
const lowWordFirst = (order: WordOrder): boolean => order === 'CDAB' || order === 'DCBA'
const bytesSwapped = (order: WordOrder): boolean => order === 'BADC' || order === 'DCBA'

const byteAt = (bytes: Buffer, at: number): number => bytes[at] ?? 0

function u16Reader(order: WordOrder): (bytes: Buffer, at: number) => number {
  const [high, low] = bytesSwapped(order) ? [1, 0] : [0, 1]
  return (bytes, at) => (byteAt(bytes, at + high) << 8) | byteAt(bytes, at + low)
}

function u32Reader(order: WordOrder): (bytes: Buffer, at: number) => number {
  const [a, b, c, d] = places[order]
  return (bytes, at) =>
    ((byteAt(bytes, at + a) << 24) |
      (byteAt(bytes, at + b) << 16) |
      (byteAt(bytes, at + c) << 8) |
      byteAt(bytes, at + d)) >>>
    0
}

/** High and low half of a 64-bit value: the order goes on over all four words. */
function halves(order: WordOrder): { high: number; low: number } {
  return lowWordFirst(order) ? { high: 4, low: 0 } : { high: 0, low: 4 }
}

const words = new Uint32Array(2)
const single = new Float32Array(words.buffer)
const double = new Float64Array(words.buffer)
const [lowWord, highWord] = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? [0, 1] : [1, 0]

type Read<T> = (order: WordOrder) => (bytes: Buffer, at: number) => T

function u64Reader(order: WordOrder): (bytes: Buffer, at: number) => bigint {
  const read = u32Reader(order)
  const { high, low } = halves(order)
  return (bytes, at) => (BigInt(read(bytes, at + high)) << 32n) | BigInt(read(bytes, at + low))
}

/** The raw value of each type in each byte order. */
export const rawReaders = {
  bool: order => u16Reader(order),
  u16: order => u16Reader(order),
  i16: order => {
    const read = u16Reader(order)
    return (bytes, at) => (read(bytes, at) << 16) >> 16
  },
  u32: order => u32Reader(order),
  i32: order => {
    const read = u32Reader(order)
    return (bytes, at) => read(bytes, at) | 0
  },
  f32: order => {
    const read = u32Reader(order)
    return (bytes, at) => {
      words[0] = read(bytes, at)
      return single[0] ?? Number.NaN
    }
  },
  f64: order => {
    const read = u32Reader(order)
    const { high, low } = halves(order)
    return (bytes, at) => {
      words[highWord] = read(bytes, at + high)
      words[lowWord] = read(bytes, at + low)
      return double[0] ?? Number.NaN
    }
  },
  u64: order => u64Reader(order),
  i64: order => {
    const read = u64Reader(order)
    return (bytes, at) => BigInt.asIntN(64, read(bytes, at))
  },
} as const satisfies Readonly<Record<Exclude<RegisterType, 'string'>, Read<number | bigint>>>

/** Text up to the first NUL, without trailing blanks. */
function stringReader(order: WordOrder, registers: number): Decoder {
  const swapped = bytesSwapped(order)
  return (bytes, at) => {
    const raw = Buffer.from(bytes.subarray(at, at + registers * 2))
    if (swapped) raw.swap16()
    const end = raw.indexOf(0)
    return raw.toString('utf8', 0, end === -1 ? raw.length : end).trimEnd()
  }
}

const bitsOf: Readonly<Record<string, number>> = { u16: 16, i16: 16, u32: 32, i32: 32, u64: 64, i64: 64 }

/** A placeholder may be written as the signed or as the unsigned number: 0x8000 and -32768 are the same. */
function placeholderTest(type: RegisterType, placeholders: readonly number[]): (raw: number | bigint) => boolean {
  const bits = bitsOf[type]
  if (bits === undefined) return raw => placeholders.includes(Number(raw))
  const unsigned = new Set(placeholders.map(value => BigInt.asUintN(bits, BigInt(value))))
  return raw => unsigned.has(BigInt.asUintN(bits, BigInt(raw)))
}

/**
 * raw × factor + offset without the noise of binary fractions: 3 × 0.1 is 0.3. Where factor and offset are decimals of at
 * most nine places, the sum is made in integers and divided once.
 */
export function scaler(factor: number, offset: number): (raw: number) => number {
  for (let places = 0; places <= 9; places++) {
    const power = 10 ** places
    const whole = Math.round(factor * power)
    const shift = Math.round(offset * power)
    if (whole / power === factor && shift / power === offset) return raw => (raw * whole + shift) / power
  }
  return raw => raw * factor + offset
}

/** The decoder of a tag that is not a total. `order`: of the profile, where the tag says nothing. */
export function decoderOf(tag: ProfileTag, profileOrder: WordOrder): Decoder {
  const type = tag.type ?? 'u16'
  const order = tag.order ?? profileOrder
  if (type === 'string') return stringReader(order, tag.length ?? 1)
  const read: (bytes: Buffer, at: number) => number | bigint = rawReaders[type](order)
  const isPlaceholder = tag.placeholders?.length ? placeholderTest(type, tag.placeholders) : undefined
  const { bit, mask } = tag
  if (bit !== undefined || (type === 'bool' && mask === undefined)) {
    const bits = bit === undefined ? 0xffff : 1 << bit
    return (bytes, at) => {
      const raw = read(bytes, at)
      if (isPlaceholder?.(raw)) return badPlaceholder
      return (Number(raw) & bits) !== 0
    }
  }
  if (mask !== undefined) {
    const shift = 31 - Math.clz32(mask & -mask)
    return scaled(tag, (bytes, at) => {
      const raw = read(bytes, at)
      if (isPlaceholder?.(raw)) return badPlaceholder
      return (Number(raw) & mask) >> shift
    })
  }
  return scaled(tag, (bytes, at) => {
    const raw = read(bytes, at)
    if (isPlaceholder?.(raw)) return badPlaceholder
    if (typeof raw === 'number' && !Number.isFinite(raw)) return badNumber
    return raw
  })
}

function scaled(tag: ProfileTag, read: (bytes: Buffer, at: number) => number | bigint | Bad): Decoder {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = tag
  const scale = tag.scale ? scaler(tag.scale.factor, tag.scale.offset) : undefined
  return (bytes, at) => {
    const raw = read(bytes, at)
    if (typeof raw === 'object') return raw
    const value = scale ? scale(Number(raw)) : raw
    return value < min || value > max ? badRange : value
  }
}

/** A single bit of function code 1 or 2, unpacked to one byte a bit. */
export const decodeBit: Decoder = (bytes, at) => byteAt(bytes, at) !== 0
