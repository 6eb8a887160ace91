const twoTo32 = 2 ** 32

/** Writes protobuf into a buffer that grows; lengths are canonical (shortest form). */
export class Writer {
  #bytes: Buffer
  #pos = 0

  constructor(size = 4096) {
    this.#bytes = Buffer.allocUnsafe(size)
  }

  reset(): void {
    this.#pos = 0
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    const copy = Buffer.allocUnsafe(this.#pos)
    this.#bytes.copy(copy, 0, 0, this.#pos)
    return copy
  }

  /** A key below 2^14, that is a field number below 2048. */
  key(key: number): void {
    this.#reserve(16)
    if (key < 0x80) this.#bytes[this.#pos++] = key
    else {
      this.#bytes[this.#pos++] = (key & 0x7f) | 0x80
      this.#bytes[this.#pos++] = key >>> 7
    }
  }

  /** A non-negative whole number below 2^64 (exact below 2^53). */
  number(value: number): void {
    if (value < 0x80 && value >= 0) {
      this.#reserve(1)
      this.#bytes[this.#pos++] = value
      return
    }
    if (!(value >= 0) || value >= 2 ** 64) throw new RangeError(`not an unsigned 64-bit number: ${value}`)
    this.#varint(value >>> 0, value < twoTo32 ? 0 : Math.floor(value / twoTo32))
  }

  /** Two's complement in 64 bits. */
  bigint(value: bigint): void {
    const bits = BigInt.asUintN(64, value)
    this.#varint(Number(bits & 0xffffffffn), Number(bits >> 32n))
  }

  boolean(value: boolean): void {
    this.#reserve(1)
    this.#bytes[this.#pos++] = value ? 1 : 0
  }

  float(value: number): void {
    this.#reserve(4)
    this.#pos = this.#bytes.writeFloatLE(value, this.#pos)
  }

  double(value: number): void {
    this.#reserve(8)
    this.#pos = this.#bytes.writeDoubleLE(value, this.#pos)
  }

  string(value: string): void {
    const most = value.length * 3
    this.#reserve(most + 5)
    if (most < 0x80) {
      // the length takes one byte whatever the characters are
      const start = this.#pos + 1
      const length = this.#ascii(value, start) ? value.length : this.#bytes.write(value, start, 'utf8')
      this.#bytes[this.#pos] = length
      this.#pos = start + length
      return
    }
    const length = Buffer.byteLength(value)
    this.#varint(length, 0)
    this.#pos += this.#bytes.write(value, this.#pos, 'utf8')
  }

  #ascii(value: string, start: number): boolean {
    for (let at = 0; at < value.length; at++) {
      const code = value.charCodeAt(at)
      if (code >= 0x80) return false
      this.#bytes[start + at] = code
    }
    return true
  }

  bytes(value: Uint8Array): void {
    this.#varint(value.length, 0)
    this.#reserve(value.length)
    this.#bytes.set(value, this.#pos)
    this.#pos += value.length
  }

  /** Starts an embedded message; pass the result to `end`. */
  begin(): number {
    this.#reserve(1)
    return ++this.#pos
  }

  /** Puts the length before the message; one byte was kept free, more are made by moving the message. */
  end(start: number): void {
    const length = this.#pos - start
    if (length < 0x80) {
      this.#bytes[start - 1] = length
      return
    }
    const extra = length < 2 ** 14 ? 1 : length < 2 ** 21 ? 2 : length < 2 ** 28 ? 3 : 4
    this.#reserve(extra)
    this.#bytes.copyWithin(start + extra, start, this.#pos)
    this.#pos = start - 1
    this.#varint(length, 0)
    this.#pos += length
  }

  #varint(low: number, high: number): void {
    this.#reserve(10)
    const bytes = this.#bytes
    let pos = this.#pos
    while (high > 0) {
      bytes[pos++] = (low & 0x7f) | 0x80
      low = ((low >>> 7) | (high << 25)) >>> 0
      high >>>= 7
    }
    while (low > 0x7f) {
      bytes[pos++] = (low & 0x7f) | 0x80
      low >>>= 7
    }
    bytes[pos++] = low
    this.#pos = pos
  }

  #reserve(length: number): void {
    const needed = this.#pos + length
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#pos)
    this.#bytes = larger
  }
}
