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
      damages.push({ offset: at, torn, what: `${torn ? 'torn end' : 'unreadable record'}, ${next - at} bytes` })
      at = next
      continue
    }
    if (frame.kind === entryKind) {
      if (frame.entries === entries.length) entries.push(content.toString('utf8', frame.bodyStart, frame.bodyEnd))
    } else if (frame.kind === sealKind) {
      const link = Uint8Array.from(content.subarray(frame.bodyStart, frame.bodyEnd))
      seals.push({ position: frame.position, offset: at, next: at + size, link })
      end = Math.max(end, frame.position)
    } else if (frame.kind === recordKind && frame.position >= end) {
      if (frame.entries <= entries.length) {
        records.push({ position: frame.position, frame: content.subarray(at, at + size) })
      } else damages.push({ offset: at, torn: false, what: 'record without its dictionary entry' })
      end = frame.position + 1
    }
    at += size
    soundBytes = at
  }
  return { records, entries, seals, end, soundBytes, damages }
}
