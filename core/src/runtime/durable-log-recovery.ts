import path from 'node:path'
import { chainStart, sameLink } from './chain.ts'
import type { OnDamage } from './durable-log.ts'
import { decodeHeader, headerBytes, parseSegmentName, type SegmentHeader } from './durable-log-format.ts'
import { provenSeal, type Scan, type ScannedRecord, scanLastSegment, scanSegment } from './durable-log-scan.ts'
import { attempt, readAround, type StoredSegment, withFile } from './durable-log-segment.ts'
import type { FileLayer } from './files.ts'
import { systemCode } from './node-files.ts'

/** Records at the end of the log that are to be written again into a new segment, see `recover`. */
export interface Carried {
  readonly first: number
  readonly records: readonly ScannedRecord[]
  /** the dictionary that these records refer to */
  readonly entries: readonly string[]
}

export interface Recovered {
  readonly segments: StoredSegment[]
  /** Files to remove as soon as `carried` is durable elsewhere; those with damage are set aside instead. */
  readonly superseded: readonly { readonly path: string; readonly damaged: boolean }[]
  readonly nextSerial: number
  /** the position that the next record gets */
  readonly end: number
  readonly carried: Carried | null
  readonly link: Uint8Array
}

interface Found {
  /** the header is made up from the name */
  readonly damaged: boolean
  readonly name: string
  readonly path: string
  readonly header: SegmentHeader
  readonly size: number
}

interface Tail {
  readonly found: Found
  readonly scan: Scan
}

export interface RecoveryOptions {
  readonly folder: string
  readonly files: FileLayer
  readonly chain: boolean
  /** A last segment up to this size is written again as a whole, so that restarts do not pile up small files. */
  readonly mergeBytes: number
  readonly onDamage: OnDamage
}

/**
 * Finds out what the folder holds. Only the last segment is read; the others are known by their headers.
 *
 * The last group that was written is not trusted, although it can be read: the process may have been killed between a failed
 * fdatasync and its answer to it, and then the pages are in the cache, but not on the disk, and no later fdatasync says so. Groups
 * before it were synced before it was written. So it is carried: written again into a new segment. Its frames are copied as
 * they are, because the delivery protocol compares their checksums.
 */
export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const { folder, files, chain, mergeBytes } = options
  const names = (await files.list(folder)).flatMap(name => {
    const parsed = parseSegmentName(name)
    return parsed ? [{ name, ...parsed }] : []
  })
  names.sort((a, b) => a.serial - b.serial)
  const found: Found[] = []
  let proven = 0
  for (const { name, serial, first, damaged } of names) {
    const segment = damaged ? 'set aside' : await inspect(options, name, serial, first)
    if (segment === 'removed') continue
    proven = Math.max(proven, first)
    if (segment !== 'set aside') found.push(segment)
  }
  const nextSerial = Math.max(0, ...names.map(({ serial }) => serial), ...found.map(({ header }) => header.serial)) + 1

  const tails = await readTails(options, found)
  const [oldest] = tails
  const last = tails.at(-1)
  if (!oldest || !last) {
    return { segments: [], superseded: [], nextSerial, end: proven, carried: null, link: chainStart }
  }
  const carried = tails.length > 1 ? mergeTails(tails) : carryFrom(last, chain, mergeBytes)
  const end = Math.max(proven, ...tails.map(({ scan }) => scan.end))
  const { segments, superseded } = arrange(found, tails, carried, chain, end)

  const kept = segments.at(-1)
  const keptTail = tails.find(({ found: { name } }) => name === kept?.name)
  if (kept && keptTail) await cut(files, kept, keptTail.scan.soundBytes, chain)
  // The chain goes on from the last link that stays on the disk.
  const link = keptTail ? (keptTail.scan.seals.at(-1)?.link ?? keptTail.found.header.link) : oldest.found.header.link
  return { segments, superseded, nextSerial, end, carried, link: chain ? link : chainStart }
}

/** Which segments count, how far each, and which are replaced by later ones. */
function arrange(
  found: readonly Found[],
  tails: readonly Tail[],
  carried: Carried | null,
  chain: boolean,
  end: number,
): Pick<Recovered, 'segments' | 'superseded'> {
  const kept: Found[] = []
  const superseded: { path: string; damaged: boolean }[] = []
  const segments: StoredSegment[] = []
  const replace = (from: number, isReplaced: (older: Found) => boolean): void => {
    for (let older = kept.at(-1); older && older.header.first >= from && isReplaced(older); older = kept.at(-1)) {
      kept.pop()
      segments.pop()
      superseded.push({ path: older.path, damaged: isDamaged(older, tails) })
    }
    const before = segments.at(-1)
    if (before) before.end = from
  }
  for (const segment of found) {
    const { name, path: file, header, size } = segment
    // In a chain an empty segment may stand before one that begins at the same position; a failed attempt has the same link before it.
    replace(header.first, older => !chain || sameLink(older.header.link, header.link))
    kept.push(segment)
    segments.push({ serial: header.serial, name, path: file, first: header.first, end, bytes: size })
  }
  if (carried) replace(carried.first, older => !chain || tails.some(tail => tail.found === older))
  return { segments, superseded }
}

const isDamaged = (segment: Found, tails: readonly Tail[]): boolean =>
  segment.damaged || tails.some(({ found, scan }) => found === segment && scan.damages.some(({ torn }) => !torn))

/** The header of a segment; a file that is none of ours is set aside, an empty one (its creation was cut short) removed. */
async function inspect(
  options: RecoveryOptions,
  name: string,
  serial: number,
  first: number,
): Promise<Found | 'set aside' | 'removed'> {
  const { files, folder } = options
  const file = path.join(folder, name)
  let read: { size: number; header: SegmentHeader | 'unknown' | 'damaged'; content: Buffer }
  try {
    read = await withFile(files, file, async open => {
      const size = await open.size()
      const header = decodeHeader(await readAround(open, 0, headerBytes))
      return { size, header, content: header === 'damaged' ? await readAround(open, 0, size) : Buffer.alloc(0) }
    })
  } catch (error) {
    if (systemCode(error) !== 'EIO') throw error
    return setAside(options, name, 'cannot be read')
  }
  const { size, header, content } = read
  if (typeof header === 'object') return { name, path: file, header, size, damaged: false }
  if (header === 'unknown') return setAside(options, name, 'written by another version')
  if (size < headerBytes || content.every(byte => byte === 0)) {
    await attempt(() => files.remove(file))
    return 'removed'
  }
  const scan = scanSegment(content, first)
  if (scan.records.length === 0) return setAside(options, name, 'no readable header and no readable record')
  options.onDamage({ segment: name, offset: 0, what: 'unreadable header; its records are read all the same' })
  // How much of it was copied from earlier segments is unknown: those count too.
  const unknown = { carried: 0xffffffff, carriedEnd: scan.end, chained: options.chain, link: chainStart }
  return { name, path: file, size, header: { serial, first, ...unknown }, damaged: true }
}

async function setAside(
  { files, folder, onDamage }: RecoveryOptions,
  name: string,
  what: string,
): Promise<'set aside'> {
  onDamage({ segment: name, offset: 0, what: `${what}; set aside as ${name}.damaged` })
  await attempt(() => files.rename(path.join(folder, name), path.join(folder, `${name}.damaged`)))
  return 'set aside'
}

/** The last segment, and those before it as long as the later one lacks records that it was to carry. */
async function readTails(options: RecoveryOptions, found: readonly Found[]): Promise<Tail[]> {
  const tails: Tail[] = []
  for (const segment of found.toReversed()) {
    const content = await withFile(options.files, segment.path, file => readAround(file, 0, segment.size))
    const scan = scanLastSegment(content, segment.header.first)
    // Whoever carries takes the dictionary along. With another one this segment is complete in itself, whatever its header was.
    const [later] = tails
    if (later && !sameBeginning(scan.entries, later.scan.entries)) break
    for (const { offset, what } of scan.damages) options.onDamage({ segment: segment.name, offset, what })
    tails.unshift({ found: segment, scan })
    const { carried, carriedEnd } = segment.header
    if (scan.records.filter(({ position }) => position < carriedEnd).length >= carried) break
  }
  return tails
}

const sameBeginning = (a: readonly string[], b: readonly string[]): boolean =>
  a.every((entry, id) => id >= b.length || b[id] === entry)

function carryFrom({ found, scan }: Tail, chain: boolean, mergeBytes: number): Carried | null {
  const { entries } = scan
  const proven = chain ? scan.seals.at(-1) : provenSeal(scan)
  const whole = !chain && found.size <= mergeBytes
  const first = whole ? found.header.first : (proven?.position ?? found.header.first)
  const records = scan.records.filter(({ position }) => position >= first)
  return records.length > 0 ? { first, records, entries } : null
}

/** Where several segments hold a position, the content is the same; what an earlier one holds beyond `carriedEnd` is void. */
function mergeTails(tails: readonly Tail[]): Carried | null {
  const first = Math.min(...tails.slice(1).map(({ found }) => found.header.first))
  let records: ScannedRecord[] = []
  let entries: readonly string[] = []
  for (const { found, scan } of tails) {
    const held = new Set(scan.records.map(({ position }) => position))
    records = records.filter(({ position }) => position < found.header.carriedEnd && !held.has(position))
    records.push(...scan.records)
    if (scan.entries.length > entries.length) entries = scan.entries
  }
  records = records.filter(({ position }) => position >= first).sort((a, b) => a.position - b.position)
  return records.length > 0 ? { first, records, entries } : null
}

/**
 * Without a chain best effort: nothing relies on the torn end being gone, since the next segment's header makes it void.
 * In a chain the last group stays where it is, because the links that follow depend on it; so the file is written anew, which proves
 * what a sync of the old one would not (see `recover`). A full disk or a bad sector leaves only the sync; if that fails too, nothing is proven.
 */
async function cut(files: FileLayer, segment: StoredSegment, soundBytes: number, chain: boolean): Promise<void> {
  const inPlace = () =>
    withFile(files, segment.path, async file => {
      if (soundBytes < segment.bytes) await file.truncate(soundBytes)
      await file.sync()
    })
  if (chain) {
    try {
      await files.replace(segment.path, await withFile(files, segment.path, file => file.read(0, soundBytes)))
    } catch {
      await inPlace()
    }
  } else await attempt(inPlace)
  segment.bytes = soundBytes
}
