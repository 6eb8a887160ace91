/** Grows as needed and is used again for every record; `take` copies what was written. */
export class ByteWriter {
  #bytes = new Uint8Array(64 * 1024)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  reset(): void {
    this.#length = 0
  }

  take(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  u8(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1)
    this.#bytes[this.#length++] = value
  }

  /** A whole number from 0 to 2^53 − 1, seven bits a byte. */
  varint(value: number): void {
    if (this.#length + 8 > this.#bytes.length) this.#grow(8)
    let rest = value
    while (rest >= 0x80000000) {
      this.#bytes[this.#length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#bytes[this.#length++] = rest
  }

  /** Any number; whole numbers of at most 30 bits take few bytes. */
  signed(value: number): void {
    if (value === (value | 0) && value < 2 ** 29 && value >= -(2 ** 29) && !Object.is(value, -0)) {
      this.varint((((value << 1) ^ (value >> 31)) >>> 0) * 2)
    } else {
      this.u8(1)
      this.f64(value)
    }
  }

  u32(value: number): void {
    if (this.#length + 4 > this.#bytes.length) this.#grow(4)
    this.#view.setUint32(this.#length, value, true)
    this.#length += 4
  }

  f32(value: number): void {
    if (this.#length + 4 > this.#bytes.length) this.#grow(4)
    this.#view.setFloat32(this.#length, value, true)
    this.#length += 4
  }

  f64(value: number): void {
    if (this.#length + 8 > this.#bytes.length) this.#grow(8)
    this.#view.setFloat64(this.#length, value, true)
    this.#length += 8
  }

  /** The low 64 bits of the value. */
  big64(value: bigint): void {
    if (this.#length + 8 > this.#bytes.length) this.#grow(8)
    this.#view.setBigUint64(this.#length, BigInt.asUintN(64, value), true)
    this.#length += 8
  }

  text(value: string): void {
    const bytes = encoder.encode(value)
    this.varint(bytes.length)
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  #grow(need: number): void {
    const bytes = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + need))
    bytes.set(this.#bytes)
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer)
  }
}

/** Reads what `ByteWriter` wrote. @throws RangeError when the bytes end too early */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  u8(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw new RangeError('record ends too early')
    return byte
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
  }

  signed(): number {
    const coded = this.varint()
    if (coded % 2 === 1) return this.f64()
    const zigzag = coded / 2
    return (zigzag >>> 1) ^ -(zigzag & 1)
  }

  u32(): number {
    const value = this.#view.getUint32(this.#at, true)
    this.#at += 4
    return value
  }

  f32(): number {
    const value = this.#view.getFloat32(this.#at, true)
    this.#at += 4
    return value
  }

  f64(): number {
    const value = this.#view.getFloat64(this.#at, true)
    this.#at += 8
    return value
  }

  i64(): bigint {
    const value = this.#view.getBigInt64(this.#at, true)
    this.#at += 8
    return value
  }

  u64(): bigint {
    const value = this.#view.getBigUint64(this.#at, true)
    this.#at += 8
    return value
  }

  text(): string {
    const length = this.varint()
    if (this.#at + length > this.#bytes.length) throw new RangeError('record ends too early')
    const text = decoder.decode(this.#bytes.subarray(this.#at, this.#at + length))
    this.#at += length
    return text
  }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()
