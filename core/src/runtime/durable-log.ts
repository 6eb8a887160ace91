import type { FileLayer } from './files.ts'

/** Gives each string a small number, valid in the segment that the record goes into. */
export interface Dictionary {
  idOf(entry: string): number
}

/** One record as read back. `entries[id]` resolves what `Dictionary.idOf` gave when it was written. */
export interface LogRecord {
  readonly position: number
  /** crc32c over position and body */
  readonly crc: number
  readonly body: Uint8Array
  readonly entries: readonly string[]
}

export interface Segment {
  readonly first: number
  /** one past the last position */
  readonly end: number
  readonly bytes: number
}

export interface DurableLogOptions {
  readonly folder: string
  readonly files: FileLayer
  /** A segment is closed when it is larger; whole segments are deleted. */
  readonly segmentBytes: number
  /** Told of every record or tail that could not be read at start or later; the log goes on. */
  readonly onDamage?: (damage: { segment: string; offset: number; what: string }) => void
}

/**
 * Append-only log of numbered records in segment files: the outbox of the edge and the inbox of the gateway.
 * Positions only grow. What `sync` returned for survives a power cut; a torn tail is cut off at start; opening never fails for damage.
 */
export interface DurableLog {
  /** lowest position still held; equals `end` when empty */
  readonly first: number
  /** position that the next append gets */
  readonly end: number
  /** everything below is on the disk */
  readonly durableEnd: number
  readonly bytes: number
  segments(): readonly Segment[]
  /** Buffers one record and returns its position and crc. `encode` is called once, synchronously. */
  append(encode: (dictionary: Dictionary) => Uint8Array): { position: number; crc: number }
  /** Writes and fdatasyncs all that was appended before the call (group commit). On rejection nothing is lost: the next call tries again. */
  sync(): Promise<void>
  /** Records from `from` on, in order, at most `maxRecords` and about `maxBytes`; unreadable ones are left out (positions jump). Only durable records. */
  read(from: number, maxRecords: number, maxBytes: number): Promise<LogRecord[]>
  /** Deletes whole segments that lie below `before`; never the one being written. */
  trim(before: number): Promise<void>
  /** Starts a new segment at `position` ≥ end (numbering continues from there); used for a new epoch or after a declared loss. */
  skipTo(position: number): Promise<void>
  close(): Promise<void>
}
