import type { FileLayer } from './files.ts'

export { openDurableLog } from './durable-log-open.ts'

/** Gives each string a small number, valid in the segment that the record goes into. */
export interface Dictionary {
  idOf(entry: string): number
}

/**
 * One record as read back. `entries[id]` resolves what `Dictionary.idOf` gave when it was written; it may go on growing.
 * `body` is a view into a larger block: copy what is kept for long.
 */
export interface LogRecord {
  readonly position: number
  /** crc32c over position and body */
  readonly crc: number
  readonly body: Uint8Array
  readonly entries: readonly string[]
}

export interface Segment {
  readonly first: number
  /** one past the last position; after a restart that of a full segment is the first of the next one */
  readonly end: number
  readonly bytes: number
}

/** `segment`: file name; `offset`: bytes from its start */
export type OnDamage = (damage: { segment: string; offset: number; what: string }) => void

export interface DurableLogOptions {
  readonly folder: string
  readonly files: FileLayer
  /** A segment is closed when it is larger; whole segments are deleted. */
  readonly segmentBytes: number
  /**
   * Hash chain: each group that is synced together ends with a link over all its bytes (`verify`, `head`). Fixed when the log
   * is made. Costs one SHA-256 over the bytes of each commit.
   */
  readonly chain?: boolean
  /** Told of every record or tail that could not be read at start or later; the log goes on. */
  readonly onDamage?: OnDamage
}

/** Where the chain of a log breaks first; `what` in words. */
export interface ChainBreak {
  readonly segment: string
  readonly offset: number
  readonly what: string
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
  /** bytes on the disk */
  readonly bytes: number
  /** Bytes that wait in memory for `sync`. They stay there while the disk fails: whoever appends sets the bound. */
  readonly pendingBytes: number
  segments(): readonly Segment[]
  /** Buffers one record and returns its position and crc. `encode` is called once, synchronously. */
  append(encode: (dictionary: Dictionary) => Uint8Array): { position: number; crc: number }
  /** Writes and fdatasyncs all that was appended before the call (group commit). On rejection nothing is lost: the next call tries again. */
  sync(): Promise<void>
  /**
   * Records from `from` on, in order, at most `maxRecords` and about `maxBytes` (at least one); unreadable ones are left out
   * (positions jump). Only durable records: an empty answer with `from` below `durableEnd` means that none up to there is readable.
   * @throws PenstockError `disk-failed` if the disk does not answer at all
   */
  read(from: number, maxRecords: number, maxBytes: number): Promise<LogRecord[]>
  /** Deletes whole segments that lie below `before`; never the one being written. */
  trim(before: number): Promise<void>
  /** Starts a new segment at `position` ≥ end (numbering continues from there); used for a new epoch or after a declared loss. */
  skipTo(position: number): Promise<void>
  /** Link behind the last durable group: the anchor to keep elsewhere. Zeros if not chained. */
  readonly head: Uint8Array
  /** Reads everything and follows the chain; null if it is whole (also for a log without chain). */
  verify(): Promise<ChainBreak | null>
  /** Syncs what is pending and closes; idempotent. Rejects if the sync failed (the files are closed all the same). */
  close(): Promise<void>
}
