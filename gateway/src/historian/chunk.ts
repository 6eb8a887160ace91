import type { Quality, Reason, Value } from '@penstock/core/reading.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { StoredReading } from './historian.ts'

/**
 * A chunk: readings of one tag, ascending by source time (equal stamps in order of arrival), as one blob. Version 1:
 * version, count, times (first one, then differences), marks (quality and reason as text, in a dictionary of the chunk, then
 * runs), values in runs of one kind. Doubles, 64-bit integers, Booleans and strings come back exactly as they went in.
 */
const version = 1

const kinds = {
  none: 0,
  false: 1,
  true: 2,
  integer: 3,
  float32: 4,
  float64: 5,
  bigint: 6,
  wideBigint: 7,
  text: 8,
} as const
type Kind = (typeof kinds)[keyof typeof kinds]

const narrow = 2 ** 51
const bigNarrow = BigInt(narrow)

function kindOf(value: Value | null): Kind {
  switch (typeof value) {
    case 'boolean':
      return value ? kinds.true : kinds.false
    case 'string':
      return kinds.text
    case 'bigint':
      return value < bigNarrow && value > -bigNarrow ? kinds.bigint : kinds.wideBigint
    case 'number':
      if (Number.isInteger(value) && value < narrow && value > -narrow && !Object.is(value, -0)) return kinds.integer
      return Math.fround(value) === value ? kinds.float32 : kinds.float64
    default:
      return kinds.none
  }
}

export const markOf = (quality: Quality, reason: Reason | null): string =>
  reason === null ? quality : `${quality}:${reason}`

function parseMark(mark: string): { quality: Quality; reason: Reason | null } {
  const [quality, reason] = mark.split(':')
  return { quality: quality as Quality, reason: (reason as Reason | undefined) ?? null }
}

const writer = new ByteWriter()

/** @param readings ascending by source time, |source time| < 2^52 */
export function encodeChunk(readings: readonly StoredReading[]): Buffer {
  writer.byte(version)
  writer.varint(readings.length)
  let last = 0
  for (const [index, { sourceTimestamp }] of readings.entries()) {
    if (index === 0) writer.float64(sourceTimestamp)
    else writer.varint(sourceTimestamp - last)
    last = sourceTimestamp
  }
  writeMarks(readings)
  for (let start = 0; start < readings.length; ) start = writeRun(readings, start)
  return writer.take()
}

function writeMarks(readings: readonly StoredReading[]): void {
  const dictionary = new Map<string, number>()
  const runs: [mark: number, length: number][] = []
  for (const { quality, reason } of readings) {
    const mark = markOf(quality, reason)
    let id = dictionary.get(mark)
    if (id === undefined) {
      id = dictionary.size
      dictionary.set(mark, id)
    }
    const run = runs.at(-1)
    if (run?.[0] === id) run[1]++
    else runs.push([id, 1])
  }
  writer.varint(dictionary.size)
  for (const mark of dictionary.keys()) writer.text(mark)
  for (const [mark, length] of runs) {
    writer.varint(mark)
    writer.varint(length)
  }
}

/** Whether a value can be written exactly in a run of `kind`: whole numbers among floats do not end the run. */
function fits(value: Value | null, kind: Kind): boolean {
  if (kind === kinds.float64) return typeof value === 'number'
  if (kind === kinds.float32) return typeof value === 'number' && Math.fround(value) === value
  return kindOf(value) === kind
}

function runEnd(readings: readonly StoredReading[], start: number, kind: Kind): number {
  let end = start + 1
  while (end < readings.length && fits(readings[end]?.value ?? null, kind)) end++
  return end
}

function writeRun(readings: readonly StoredReading[], start: number): number {
  const kind = kindOf(readings[start]?.value ?? null)
  const end = runEnd(readings, start, kind)
  writer.byte(kind)
  writer.varint(end - start)
  let last = 0
  let wideLast = 0n
  const texts = new Map<string, number>()
  for (let index = start; index < end; index++) {
    const value = readings[index]?.value ?? null
    if (kind === kinds.integer || kind === kinds.bigint) {
      const number = Number(value)
      writer.zigzag(number - last)
      last = number
    } else if (kind === kinds.float32) writer.float32(Number(value))
    else if (kind === kinds.float64) writer.float64(Number(value))
    else if (typeof value === 'bigint') {
      writer.bigZigzag(value - wideLast)
      wideLast = value
    } else if (typeof value === 'string') writeText(value, texts)
  }
  return end
}

function writeText(value: string, texts: Map<string, number>): void {
  const known = texts.get(value)
  writer.varint(known === undefined ? 0 : known + 1)
  if (known !== undefined) return
  texts.set(value, texts.size)
  writer.text(value)
}

/** @throws RangeError if the blob is damaged */
export function decodeChunk(blob: Uint8Array): StoredReading[] {
  const reader = new ByteReader(blob)
  const found = reader.byte()
  if (found !== version) throw new RangeError(`chunk of version ${found}`)
  const count = reader.varint()
  const times: number[] = []
  for (let index = 0, time = 0; index < count; index++) {
    time = index === 0 ? reader.float64() : time + reader.varint()
    times.push(time)
  }
  const dictionary = Array.from({ length: reader.varint() }, () => parseMark(reader.text()))
  const marks: { quality: Quality; reason: Reason | null }[] = []
  while (marks.length < count) {
    const mark = dictionary[reader.varint()]
    const length = reader.varint()
    if (!mark || length === 0 || marks.length + length > count) throw new RangeError('the marks of a chunk are damaged')
    for (let index = 0; index < length; index++) marks.push(mark)
  }
  const readings: StoredReading[] = []
  while (readings.length < count) readRun(reader, count, times, marks, readings)
  return readings
}

function readRun(
  reader: ByteReader,
  count: number,
  times: readonly number[],
  marks: readonly { quality: Quality; reason: Reason | null }[],
  readings: StoredReading[],
): void {
  const kind = reader.byte()
  const end = readings.length + reader.varint()
  if (end > count || end === readings.length) throw new RangeError('the values of a chunk are damaged')
  const next = valueReader(reader, kind)
  while (readings.length < end) {
    const index = readings.length
    const mark = marks[index]
    const sourceTimestamp = times[index]
    if (!mark || sourceTimestamp === undefined) throw new RangeError('the chunk is damaged')
    readings.push({ sourceTimestamp, value: next(), quality: mark.quality, reason: mark.reason })
  }
}

function valueReader(reader: ByteReader, kind: number): () => Value | null {
  let last = 0
  let wideLast = 0n
  const texts: string[] = []
  switch (kind) {
    case kinds.none:
      return () => null
    case kinds.false:
      return () => false
    case kinds.true:
      return () => true
    case kinds.integer:
      return () => {
        last += reader.zigzag()
        return last
      }
    case kinds.float32:
      return () => reader.float32()
    case kinds.float64:
      return () => reader.float64()
    case kinds.bigint:
      return () => {
        last += reader.zigzag()
        return BigInt(last)
      }
    case kinds.wideBigint:
      return () => {
        wideLast += reader.bigZigzag()
        return wideLast
      }
    case kinds.text:
      return () => {
        const known = reader.varint()
        if (known === 0) texts.push(reader.text())
        return texts[known === 0 ? texts.length - 1 : known - 1] ?? ''
      }
    default:
      throw new RangeError(`value of kind ${kind}`)
  }
}
