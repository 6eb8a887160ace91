import { linkBytes } from './chain.ts'
import { crc32c, crc32cOfNumber } from './crc32c.ts'

// A segment file: one header, then frames without gaps. All numbers least significant byte first.
//
// header  0 magic (8) | 8 version u32 | 12 flags u32 (1: chained) | 16 first u64 | 24 serial u32 | 28 carried u32
//         32 carriedEnd u64 | 40 link before the segment (32) | 72 crc32c of 0..72
// frame   0 marker u8 | 1 kind u8 | 2 position u48 | 8 length u32 | 12 entries u32 | 16 check u32 | 20 body
//         check = crc32c(position u64, body, bytes 0..16)
// A record's `entries` is how many dictionary entries existed when it was written; an entry's is its own id.
// A seal ends each group that was synced together; its position is that of the next record, its body the link if chained.

const magic = Buffer.from('PENSTLOG')
const version = 1
const chainedFlag = 1
const highWord = 0x1_0000_0000

export const headerBytes = 76
export const frameBytes = 20
/** Longest body of a record or entry. */
export const maxBodyBytes = 16 * 1024 * 1024
export const maxPosition = 2 ** 48 - 1

const marker = 0xf5
export const recordKind = 1
export const entryKind = 2
export const sealKind = 3

export interface SegmentHeader {
  readonly serial: number
  /** Position of the first record. What earlier segments hold at or above `carriedEnd` is void. */
  readonly first: number
  /** So many records of [first, carriedEnd) were copied from earlier segments; until all are here, the earlier ones count too. */
  readonly carried: number
  readonly carriedEnd: number
  readonly chained: boolean
  /** the link before the first group, zeros if not chained */
  readonly link: Uint8Array
}

export function encodeHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(headerBytes)
  magic.copy(bytes)
  bytes.writeUInt32LE(version, 8)
  bytes.writeUInt32LE(header.chained ? chainedFlag : 0, 12)
  bytes.writeBigUInt64LE(BigInt(header.first), 16)
  bytes.writeUInt32LE(header.serial, 24)
  bytes.writeUInt32LE(header.carried, 28)
  bytes.writeBigUInt64LE(BigInt(header.carriedEnd), 32)
  bytes.set(header.link, 40)
  bytes.writeUInt32LE(crc32c(bytes, 0, 0, 72), 72)
  return bytes
}

/** `unknown`: a sound header of another version, so not ours to judge. `damaged`: anything else. */
export function decodeHeader(content: Uint8Array): SegmentHeader | 'unknown' | 'damaged' {
  if (content.length < headerBytes) return 'damaged'
  const bytes = Buffer.from(content.buffer, content.byteOffset, headerBytes)
  if (!bytes.subarray(0, 8).equals(magic)) return 'damaged'
  if (crc32c(bytes, 0, 0, 72) !== bytes.readUInt32LE(72)) return 'damaged'
  if (bytes.readUInt32LE(8) !== version) return 'unknown'
  return {
    serial: bytes.readUInt32LE(24),
    first: Number(bytes.readBigUInt64LE(16)),
    carried: bytes.readUInt32LE(28),
    carriedEnd: Number(bytes.readBigUInt64LE(32)),
    chained: (bytes.readUInt32LE(12) & chainedFlag) !== 0,
    link: Uint8Array.from(bytes.subarray(40, 40 + linkBytes)),
  }
}

const namePattern = /^(\d{8,10})-(\d{16})\.log(\.damaged)?$/

/** Sorts by serial, the order in which the files were made. */
export const segmentName = (serial: number, first: number): string =>
  `${String(serial).padStart(8, '0')}-${String(first).padStart(16, '0')}.log`

export function parseSegmentName(name: string): { serial: number; first: number; damaged: boolean } | undefined {
  const match = namePattern.exec(name)
  if (!match) return undefined
  return { serial: Number(match[1]), first: Number(match[2]), damaged: match[3] !== undefined }
}

/** crc32c over position and body: what the frame is checked by, and what the delivery protocol compares. */
export const recordCrc = (position: number, body: Uint8Array, start = 0, end = body.length): number =>
  crc32c(body, crc32cOfNumber(position), start, end)

/** Writes the 20 bytes before a body into `into` at `at`; `crc` is `recordCrc` of the body. */
export function writeFrameHead(
  into: Buffer,
  at: number,
  kind: number,
  position: number,
  length: number,
  entries: number,
  crc: number,
): void {
  into[at] = marker
  into[at + 1] = kind
  into.writeUInt16LE(Math.floor(position / highWord), at + 2)
  into.writeUInt32LE(position % highWord, at + 4)
  into.writeUInt32LE(length, at + 8)
  into.writeUInt32LE(entries, at + 12)
  into.writeUInt32LE(crc32c(into, crc, at, at + 16), at + 16)
}

export function encodeFrame(kind: number, position: number, entries: number, body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(frameBytes + body.length)
  writeFrameHead(bytes, 0, kind, position, body.length, entries, recordCrc(position, body))
  bytes.set(body, frameBytes)
  return bytes
}

/** Filled by `readFrame`, so that reading a million frames allocates none. */
export class Frame {
  kind = 0
  position = 0
  entries = 0
  crc = 0
  bodyStart = 0
  bodyEnd = 0
}

export const damaged = 0

/**
 * Reads the frame at `at`. Returns its size; `damaged` (0) if there is no sound frame; or minus the size that must be
 * available from `at` on to tell, when `block` is too short.
 */
export function readFrame(frame: Frame, block: Buffer, at: number): number {
  const available = block.length - at
  if (available < frameBytes) {
    return available > 0 && block[at] !== marker ? damaged : -frameBytes
  }
  if (block[at] !== marker) return damaged
  const kind = block[at + 1] as number
  const length = word(block, at + 8)
  if (kind < recordKind || kind > sealKind || length > maxBodyBytes) return damaged
  const size = frameBytes + length
  if (available < size) return -size
  const position = ((block[at + 2] as number) | ((block[at + 3] as number) << 8)) * highWord + word(block, at + 4)
  const crc = recordCrc(position, block, at + frameBytes, at + size)
  if (crc32c(block, crc, at, at + 16) !== word(block, at + 16)) return damaged
  frame.kind = kind
  frame.position = position
  frame.entries = word(block, at + 12)
  frame.crc = crc
  frame.bodyStart = at + frameBytes
  frame.bodyEnd = at + size
  return size
}

const word = (block: Buffer, at: number): number =>
  ((block[at] as number) |
    ((block[at + 1] as number) << 8) |
    ((block[at + 2] as number) << 16) |
    ((block[at + 3] as number) << 24)) >>>
  0

/**
 * Where the next sound frame with a position of at least `lowest` begins in `block`, which reaches to the end of the segment;
 * block.length if there is none. A frame whose head still tells its length is stepped over first, so that what a body
 * contains is not taken for frames.
 */
export function resynchronise(block: Buffer, at: number, lowest: number): number {
  const frame = new Frame()
  const fits = (place: number): boolean => readFrame(frame, block, place) > 0 && frame.position >= lowest
  if (at + frameBytes <= block.length && block[at] === marker) {
    const next = at + frameBytes + word(block, at + 8)
    if (next < block.length && fits(next)) return next
  }
  for (let place = block.indexOf(marker, at + 1); place >= 0; place = block.indexOf(marker, place + 1)) {
    if (fits(place)) return place
  }
  return block.length
}
