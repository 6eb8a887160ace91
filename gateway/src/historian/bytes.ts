/** Growing buffer with the few encodings that chunks need. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(4096)
  #length = 0

  byte(value: number): void {
    this.#room(1)
    this.#bytes[this.#length++] = value
  }

  /** 0 ≤ value ≤ 2^53 − 1, 7 bits a byte, low ones first */
  varint(value: number): void {
    this.#room(8)
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80
      rest = rest < 0x8000_0000 ? rest >>> 7 : Math.floor(rest / 0x80)
    }
    this.#bytes[this.#length++] = rest
  }

  /** |value| < 2^52: small numbers of either sign stay small */
  zigzag(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value)
  }

  bigZigzag(value: bigint): void {
    let rest = value < 0n ? -2n * value - 1n : 2n * value
    while (rest >= 0x80n) {
      this.byte(Number(rest & 0x7fn) | 0x80)
      rest >>= 7n
    }
    this.byte(Number(rest))
  }

  float32(value: number): void {
    this.#room(4)
    this.#length = this.#bytes.writeFloatLE(value, this.#length)
  }

  float64(value: number): void {
    this.#room(8)
    this.#length = this.#bytes.writeDoubleLE(value, this.#length)
  }

  text(value: string): void {
    const size = Buffer.byteLength(value)
    this.varint(size)
    this.#room(size)
    this.#length += this.#bytes.write(value, this.#length)
  }

  /** A copy of what was written; the writer starts again. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.#length))
    this.#length = 0
    return taken
  }

  #room(size: number): void {
    if (this.#length + size <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + size))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** Reads what `ByteWriter` wrote. @throws RangeError when the bytes end too early */
export class ByteReader {
  readonly #bytes: Buffer
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  byte(): number {
    const value = this.#bytes[this.#offset++]
    if (value === undefined) throw new RangeError('the chunk ends too early')
    return value
  }

  varint(): number {
    let value = 0
    for (let factor = 1; ; factor *= 0x80) {
      const part = this.byte()
      value += (part & 0x7f) * factor
      if (part < 0x80) return value
    }
  }

  zigzag(): number {
    const value = this.varint()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  bigZigzag(): bigint {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const part = this.byte()
      value |= BigInt(part & 0x7f) << shift
      if (part < 0x80) return value % 2n === 0n ? value / 2n : -(value + 1n) / 2n
    }
  }

  float32(): number {
    const value = this.#bytes.readFloatLE(this.#offset)
    this.#offset += 4
    return value
  }

  float64(): number {
    const value = this.#bytes.readDoubleLE(this.#offset)
    this.#offset += 8
    return value
  }

  text(): string {
    const size = this.varint()
    const end = this.#offset + size
    if (end > this.#bytes.length) throw new RangeError('the chunk ends too early')
    const value = this.#bytes.toString('utf8', this.#offset, end)
    this.#offset = end
    return value
  }
}
