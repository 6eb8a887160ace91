import { entryKind, Frame, headerBytes, readFrame, recordKind, resynchronise, sealKind } from './durable-log-format.ts'

export interface ScannedRecord {
  readonly position: number
  /** the whole frame */
  readonly frame: Buffer
}

export interface ScannedSeal {
  /** the position that follows the group */
  readonly position: number
  /** where the seal's frame begins, and where the next group begins */
  readonly offset: number
  readonly next: number
  readonly link: Uint8Array
}

export interface Damage {
  readonly offset: number
  /** where the next sound frame begins */
  readonly end: number
  readonly what: string
  /** nothing sound follows: the usual trace of a power cut */
  readonly torn: boolean
}

export interface Scan {
  /** readable ones only, ascending */
  readonly records: readonly ScannedRecord[]
  /** without gaps from id 0 */
  readonly entries: readonly string[]
  readonly seals: readonly ScannedSeal[]
  /** one past the highest position that any sound frame proves, or `first` */
  readonly end: number
  /** behind the last sound frame; what follows is torn */
  readonly soundBytes: number
  readonly damages: readonly Damage[]
}

/** Reads all frames of a segment's content. Records that need a lost dictionary entry count as damaged. */
export function scanSegment(content: Buffer, first: number): Scan {
  const frame = new Frame()
  const records: ScannedRecord[] = []
  const entries: string[] = []
  const seals: ScannedSeal[] = []
  const damages: Damage[] = []
  let end = first
  let at = Math.min(headerBytes, content.length)
  let soundBytes = at
  while (at < content.length) {
    const size = readFrame(frame, content, at)
    if (size <= 0) {
      const next = resynchronise(content, at, end)
      const torn = next === content.length
      damages.push({
        offset: at,
        end: next,
        torn,
        what: `${torn ? 'torn end' : 'unreadable record'}, ${next - at} bytes`,
      })
      at = next
      continue
    }
    // A frame of an earlier position is none of ours: what the file system left in a block that was never written.
    if (frame.position < end) {
      at += size
      continue
    }
    if (frame.kind === entryKind) {
      if (frame.entries === entries.length) entries.push(content.toString('utf8', frame.bodyStart, frame.bodyEnd))
    } else if (frame.kind === sealKind) {
      const link = Uint8Array.from(content.subarray(frame.bodyStart, frame.bodyEnd))
      seals.push({ position: frame.position, offset: at, next: at + size, link })
      end = frame.position
    } else if (frame.kind === recordKind) {
      if (frame.entries <= entries.length) {
        records.push({ position: frame.position, frame: content.subarray(at, at + size) })
      } else damages.push({ offset: at, end: at + size, torn: false, what: 'record without its dictionary entry' })
      end = frame.position + 1
    }
    at += size
    soundBytes = at
  }
  return { records, entries, seals, end, soundBytes, damages }
}

const sectorBytes = 512

/**
 * Like `scanSegment`, for the segment that was written last. Of its last group, which need not have been synced, a power cut may
 * have kept any sectors; the others read as zeros. Then the group was never acknowledged and ends before the first hole, so that
 * no position is called lost that nobody was told of. Other damage there is damage: what follows it counts.
 */
export function scanLastSegment(content: Buffer, first: number): Scan {
  const scan = scanSegment(content, first)
  const proven = provenSeal(scan)?.next ?? 0
  const hole = scan.damages.find(each => each.offset >= proven && hasEmptySector(content, each))
  if (!hole) return scan
  const cut = scanSegment(content.subarray(0, hole.offset), first)
  const rest = content.length - hole.offset
  const torn = { offset: hole.offset, end: content.length, torn: true, what: `torn end, ${rest} bytes` }
  return { ...cut, damages: [...cut.damages, torn] }
}

/** The last seal behind which something was written: that happens only after all before it was synced. */
export function provenSeal({ seals, soundBytes }: Scan): ScannedSeal | undefined {
  return seals.findLast(({ next }) => next < soundBytes)
}

function hasEmptySector(content: Buffer, { offset, end }: Damage): boolean {
  for (let sector = offset - (offset % sectorBytes); sector + sectorBytes <= end; sector += sectorBytes) {
    if (content.subarray(Math.max(sector, offset), sector + sectorBytes).every(byte => byte === 0)) return true
  }
  return false
}
