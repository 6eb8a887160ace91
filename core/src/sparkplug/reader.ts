import { PenstockError } from '../runtime/errors.ts'

const latestDateMs = 8.64e15
const twoTo32 = 2 ** 32

/** How deep templates and property sets may nest. */
export const maxDepth = 12

/** Refuses a payload that is not Sparkplug B; the only error that decoding throws. */
export function badPayload(problem: string): never {
  throw new PenstockError('bad-payload', { problem })
}

/**
 * Reads protobuf from bytes of unknown origin. Every method throws PenstockError `bad-payload` instead of reading
 * beyond the end. `budget` bounds the number of messages and elements of one payload, and so its memory and time.
 */
export class Reader {
  readonly #bytes: Buffer
  #pos = 0
  #end: number
  #high = 0
  #budget: number

  constructor(bytes: Uint8Array, budget: number) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#end = bytes.byteLength
    this.#budget = budget
  }

  /** True while the current message has fields left. */
  get more(): boolean {
    return this.#pos < this.#end
  }

  /** Key of the next field: number · 8 + wire type. */
  key(): number {
    const low = this.#varint()
    if (this.#high !== 0 || low < 8) badPayload('field number out of range')
    return low
  }

  /** Narrows the reader to the message that starts here and returns what `leave` needs. */
  enter(): number {
    this.count()
    const length = this.#length()
    const outer = this.#end
    this.#end = this.#pos + length
    return outer
  }

  leave(outer: number): void {
    this.#end = outer
  }

  count(): void {
    if (--this.#budget < 0) badPayload('too many elements')
  }

  /** uint32; higher bits are cut off as protobuf demands (a negative int32 is sent in ten bytes by some) */
  uint32(): number {
    return this.#varint()
  }

  /** uint64 as a number, inexact above 2^53 */
  number(): number {
    const low = this.#varint()
    return this.#high === 0 ? low : this.#high * twoTo32 + low
  }

  /** uint64 that must be an exact number */
  exact(what: string): number {
    const value = this.number()
    if (value > Number.MAX_SAFE_INTEGER) badPayload(`${what} above 2^53`)
    return value
  }

  /** ms UTC, held within what a Date can be */
  time(): number {
    const value = this.number()
    return value > latestDateMs ? latestDateMs : value
  }

  bigint(): bigint {
    const low = this.#varint()
    return this.#high === 0 ? BigInt(low) : (BigInt(this.#high) << 32n) | BigInt(low)
  }

  boolean(): boolean {
    return this.#varint() !== 0 || this.#high !== 0
  }

  float(): number {
    const pos = this.#take(4)
    return this.#bytes.readFloatLE(pos)
  }

  double(): number {
    const pos = this.#take(8)
    return this.#bytes.readDoubleLE(pos)
  }

  /** UTF-8; what is not valid becomes U+FFFD */
  string(): string {
    const length = this.#length()
    const pos = this.#take(length)
    if (length > 24) return this.#bytes.toString('utf8', pos, pos + length)
    let text = ''
    for (let at = pos; at < pos + length; at++) {
      const byte = this.#bytes[at] ?? 0
      if (byte >= 0x80) return this.#bytes.toString('utf8', pos, pos + length)
      text += String.fromCharCode(byte)
    }
    return text
  }

  /** A copy, so that nobody holds the packet in memory. */
  bytes(): Uint8Array {
    const length = this.#length()
    const pos = this.#take(length)
    return new Uint8Array(this.#bytes.subarray(pos, pos + length))
  }

  /** Skips a field that the message does not have (above `lastKnown`); one that it has must not come in another wire type. */
  skipUnknown(key: number, lastKnown: number): void {
    if (key >>> 3 <= lastKnown) badPayload(`field ${key >>> 3} with wire type ${key & 7}`)
    switch (key & 7) {
      case 0:
        this.#varint()
        return
      case 1:
        this.#take(8)
        return
      case 2:
        this.#take(this.#length())
        return
      case 5:
        this.#take(4)
        return
      default:
        badPayload(`wire type ${key & 7}`)
    }
  }

  #length(): number {
    const length = this.#varint()
    if (this.#high !== 0 || length > this.#end - this.#pos) badPayload('a length beyond the end')
    return length
  }

  #take(length: number): number {
    const pos = this.#pos
    if (length > this.#end - pos) badPayload('cut off')
    this.#pos = pos + length
    return pos
  }

  /** Low 32 bits; the high ones go into `#high`. */
  #varint(): number {
    const bytes = this.#bytes
    const end = this.#end
    let pos = this.#pos
    const first = pos < end ? (bytes[pos] ?? 0) : 0x80
    if (first < 0x80) {
      this.#pos = pos + 1
      this.#high = 0
      return first
    }
    let low = 0
    let high = 0
    for (let shift = 0; shift < 70; shift += 7) {
      if (pos >= end) badPayload('cut off')
      const byte = bytes[pos++] ?? 0
      const bits = byte & 0x7f
      if (shift < 28) low |= bits << shift
      else if (shift === 28) {
        low |= bits << 28
        high = bits >>> 4
      } else if (shift < 63) high |= bits << (shift - 32)
      else if (bits > 1) badPayload('a number beyond 64 bits')
      else high |= bits << 31
      if (byte < 0x80) {
        this.#pos = pos
        this.#high = high >>> 0
        return low >>> 0
      }
    }
    badPayload('a number beyond 64 bits')
  }
}
