/**
 * How a value of more than one byte lies in 16-bit registers, named by where the bytes of the big-endian value A B C D go:
 * ABCD plain, CDAB low word first, BADC bytes swapped inside each word, DCBA both.
 */
export type WordOrder = 'ABCD' | 'CDAB' | 'BADC' | 'DCBA'

/** Which byte of the big-endian value stands at each place on the wire, for values of `size` bytes. */
function permutation(order: WordOrder, size: number): number[] {
  const places = Array.from({ length: size }, (_, place) => place)
  if (order === 'ABCD') return places
  if (order === 'DCBA') return places.reverse()
  if (order === 'BADC') return places.map(place => place ^ 1)
  return places.map(place => size - 2 - (place & ~1) + (place & 1))
}

const permutations: Readonly<Record<WordOrder, readonly [number[], number[]]>> = {
  ABCD: [permutation('ABCD', 4), permutation('ABCD', 8)],
  CDAB: [permutation('CDAB', 4), permutation('CDAB', 8)],
  BADC: [permutation('BADC', 4), permutation('BADC', 8)],
  DCBA: [permutation('DCBA', 4), permutation('DCBA', 8)],
}

/** A run of registers that exist; reading beside it is an illegal address. */
export interface RegisterArea {
  readonly start: number
  readonly length: number
}

/** Registers of one device, in as many areas as it has, with the word order of the device. Holds the bytes as they go out. */
export class RegisterBank {
  readonly order: WordOrder
  readonly areas: readonly RegisterArea[]
  readonly #blocks: readonly { start: number; end: number; bytes: Buffer }[]
  readonly #scratch = new DataView(new ArrayBuffer(8))

  constructor(order: WordOrder, areas: readonly RegisterArea[]) {
    this.order = order
    this.areas = areas
    this.#blocks = areas.map(({ start, length }) => ({ start, end: start + length, bytes: Buffer.alloc(2 * length) }))
  }

  u16(address: number, value: number): void {
    const { bytes, start } = this.#block(address, 1)
    bytes.writeUInt16BE(value & 0xffff, 2 * (address - start))
  }

  u32(address: number, value: number): void {
    this.#scratch.setUint32(0, value)
    this.#put(address, 4)
  }

  u64(address: number, value: bigint): void {
    this.#scratch.setBigUint64(0, value)
    this.#put(address, 8)
  }

  f32(address: number, value: number): void {
    this.#scratch.setFloat32(0, value)
    this.#put(address, 4)
  }

  f64(address: number, value: number): void {
    this.#scratch.setFloat64(0, value)
    this.#put(address, 8)
  }

  /** The word at an address that exists. */
  word(address: number): number {
    const { bytes, start } = this.#block(address, 1)
    return bytes.readUInt16BE(2 * (address - start))
  }

  /** Copies `count` registers to `into` as they go over the wire; false when one of them does not exist. */
  copy(address: number, count: number, into: Buffer, at: number): boolean {
    const block = this.#find(address, count)
    if (!block) return false
    block.bytes.copy(into, at, 2 * (address - block.start), 2 * (address - block.start + count))
    return true
  }

  #put(address: number, size: 4 | 8): void {
    const { bytes, start } = this.#block(address, size / 2)
    const offset = 2 * (address - start)
    const from = permutations[this.order][size === 4 ? 0 : 1]
    for (let place = 0; place < size; place++) bytes[offset + place] = this.#scratch.getUint8(from[place] ?? 0)
  }

  #find(address: number, count: number) {
    return this.#blocks.find(block => address >= block.start && address + count <= block.end)
  }

  #block(address: number, count: number) {
    const block = this.#find(address, count)
    if (!block) throw new RangeError(`no registers at ${address}, ${count} of them`)
    return block
  }
}
