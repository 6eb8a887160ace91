import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import type { DurableLog } from '@penstock/core/runtime/durable-log.ts'
import { openDurableLog } from '@penstock/core/runtime/durable-log-open.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { InboxWriter } from '../consumer.ts'
import { fold, readSnapshot, type Snapshot, snapshotPath } from './fold.ts'
import type { Positions } from './positions.ts'
import { Recent } from './recent.ts'
import type { InboxRecord } from './record.ts'
import { decodeEntry, encodeEntry, type StoredEntry } from './record-codec.ts'

export interface InboxOptions {
  readonly folder: string
  readonly files: FileLayer
  readonly ticker: Ticker
  readonly log: Logger
  readonly segmentBytes: number
  /** beyond this, and when consumers keep it from shrinking, no batch is taken in */
  readonly maxBytes: number
  /** what consumers have done with stays, up to this many bytes, while there is room: a new consumer is fed from it; default 0 */
  readonly keepBytes?: number
  /** free space that is left to live values, commands and consumers; default 4 segments, at most 64 MiB */
  readonly reserveBytes?: number
  /** decoded entries kept for consumers in step, about; default 4 MiB of their encoded size, decoded about ten times as much */
  readonly recentBytes?: number
  /** highest cursor of the consumers: new positions start above it, also after an older inbox was put back */
  readonly atLeast?: number
}

/** `full`: no room for batches, the rest goes on · `failing`: the disk refuses, nothing is committed. Both end by themselves. */
export type InboxState = 'ok' | 'full' | 'failing'

/** Group commit (delivery protocol, rule 16). */
const commitMs = 50
const commitBytes = 1024 * 1024
const retryMs = 1_000
/** Bytes that may wait in memory while the disk refuses: live values, then everything. */
const waitingLive = 8 * 1024 * 1024
const waitingAll = 16 * 1024 * 1024

/**
 * The gateway's one log of everything that can change state. One writer; its fdatasync is the commit. Keeps the fold of
 * positions (G2), which is written beside the log now and then, and into the log before any segment of it is deleted.
 */
export class Inbox implements InboxWriter {
  readonly positions: Positions
  readonly #options: InboxOptions
  readonly #durable: DurableLog
  readonly #recent: Recent
  readonly #reserveBytes: number
  #state: InboxState = 'ok'
  #cause: unknown
  #waitingBytes = 0
  #cancelTimer: Cancel | undefined
  #timerDue = Number.POSITIVE_INFINITY
  #syncing: Promise<void> | undefined
  #syncWanted = false
  #roomCheckedAt = Number.NEGATIVE_INFINITY
  #checkpoint: number
  #segmentFirst: number
  #snapshotWanted = false
  #closing: Promise<void> | undefined
  /** Told after each commit, and when a new segment was begun. */
  #onCommit: (() => void)[] = []
  #onSegment: (() => void)[] = []
  readonly counters = { damaged: 0, syncs: 0, failedSyncs: 0, refusedLive: 0, refusedOther: 0 }

  private constructor(options: InboxOptions, durable: DurableLog, positions: Positions, checkpoint: number) {
    this.#options = options
    this.#durable = durable
    this.positions = positions
    this.#checkpoint = checkpoint
    this.#recent = new Recent(durable.end, options.recentBytes ?? 4 * 1024 * 1024)
    this.#reserveBytes = options.reserveBytes ?? Math.min(64 * 1024 * 1024, 4 * options.segmentBytes)
    this.#segmentFirst = durable.segments().at(-1)?.first ?? durable.end
  }

  /** Never fails for damage; unreadable records are counted and reported. @throws PenstockError `disk-failed` | `disk-full` */
  static async open(options: InboxOptions): Promise<Inbox> {
    const { folder, files, segmentBytes, log } = options
    await files.makeFolder(folder)
    let damaged = 0
    const durable = await openDurableLog({
      folder: `${folder}/log`,
      files,
      segmentBytes,
      chain: true,
      onDamage: damage => {
        damaged++
        log.error({ ...damage }, 'the inbox holds something unreadable')
      },
    })
    const { positions, end, checkpoint } = await fold(durable, await readSnapshot(files, folder, log), log)
    const start = Math.max(end, options.atLeast ?? 0)
    if (start > durable.end) {
      log.error({ end: durable.end, start }, 'the inbox is older than what was made of it; numbering goes on above')
      await durable.skipTo(start)
    }
    const inbox = new Inbox(options, durable, positions, checkpoint)
    inbox.counters.damaged = damaged
    await inbox.#checkRoom()
    return inbox
  }

  get first(): number {
    return this.#durable.first
  }

  get end(): number {
    return this.#durable.end
  }

  get durableEnd(): number {
    return this.#durable.durableEnd
  }

  get bytes(): number {
    return this.#durable.bytes
  }

  get state(): InboxState {
    return this.#state
  }

  /** Whether a batch may be appended; otherwise it is to be left with its edge. */
  get takesBatches(): boolean {
    return this.#state === 'ok' && !this.#closing
  }

  /** Whether live values may be appended: they are lost in memory before they fill it. */
  get takesLive(): boolean {
    return !this.#closing && this.#waitingBytes < waitingLive && this.#durable.bytes < this.#options.maxBytes * 1.1
  }

  /** Runs `run` after every commit; what it sees as committed is on the disk. */
  onCommit(run: () => void): void {
    this.#onCommit.push(run)
  }

  /** Runs `run` when a new segment was begun: the time to drop old ones. */
  onSegment(run: () => void): void {
    this.#onSegment.push(run)
  }

  /**
   * Appends; the commit follows within 50 ms, or at once for class alarm.
   * @throws PenstockError `closed`; `disk-full` | `disk-failed` when the disk refuses and too much waits already
   */
  append(entry: InboxRecord['entry']): number {
    if (this.#closing) throw new PenstockError('closed', { what: 'the inbox' })
    if (this.#state === 'failing' && this.#waitingBytes > waitingAll) {
      this.counters.refusedOther++
      throw this.#refusal()
    }
    const position = this.#store(entry)
    this.positions.apply(entry)
    if (entry.kind === 'batch' && entry.class === 'alarm') this.#schedule(0)
    else this.#schedule(this.#waitingBytes >= commitBytes ? 0 : commitMs)
    return position
  }

  /** @throws PenstockError `disk-full` | `disk-failed`: not on the disk yet, but the inbox goes on trying */
  async commit(): Promise<void> {
    const target = this.#durable.end
    while (this.#durable.durableEnd < target) {
      await this.#sync()
      if (this.#state === 'failing' && this.#durable.durableEnd < target) throw this.#refusal()
    }
  }

  /**
   * Committed records from `from` on, at most `maxRecords`; `next` is where to go on (beyond `from` whenever there was anything).
   * What cannot be read is left out.
   */
  async read(from: number, maxRecords: number): Promise<{ records: InboxRecord[]; next: number }> {
    const end = this.#durable.durableEnd
    if (from >= end) return { records: [], next: from }
    if (from < this.#recent.first) return this.#readDisk(from, maxRecords, end)
    const records: InboxRecord[] = []
    const next = Math.min(end, from + maxRecords)
    for (let position = from; position < next; position++) {
      const entry = this.#recent.at(position)
      if (entry && entry.kind !== 'checkpoint') records.push({ position, entry })
    }
    return { records, next }
  }

  /** Consumers have all gone past `position`: memory below is free. */
  release(position: number): void {
    this.#recent.release(position)
  }

  /** Deletes whole segments below `before` beyond `keepBytes`, after the fold of positions is safe in a later one. */
  async trim(before: number): Promise<void> {
    const limit = Math.min(before, this.#durable.durableEnd)
    const keep = this.#state === 'ok' ? (this.#options.keepBytes ?? 0) : 0
    let bytes = this.#durable.bytes
    let target = -1
    for (const segment of this.#durable.segments().slice(0, -1)) {
      if (segment.end > limit || bytes - segment.bytes < keep) break
      bytes -= segment.bytes
      target = segment.end
    }
    if (target < 0) return
    if (this.#checkpoint < target) {
      if (this.#closing) return
      this.#appendCheckpoint()
      await this.commit()
    }
    await this.#durable.trim(target)
    await this.#checkRoom()
  }

  /** Commits what can be committed, writes the snapshot, closes. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#syncing
    await this.commit().catch(error =>
      this.#options.log.error({ err: error }, 'the end of the inbox was not committed'),
    )
    this.#cancelTimer?.()
    if (this.#durable.durableEnd === this.#durable.end) {
      await this.#writeSnapshot({ position: this.#durable.end, state: this.positions.serialise(true) })
    }
    await this.#durable.close()
  }

  #store(entry: StoredEntry): number {
    let bytes = 0
    const { position } = this.#durable.append(dictionary => {
      const body = encodeEntry(entry, dictionary)
      bytes = body.length
      return body
    })
    this.#recent.push(entry, bytes)
    this.#waitingBytes += bytes
    return position
  }

  #appendCheckpoint(): void {
    this.#checkpoint = this.#store({ kind: 'checkpoint', state: this.positions.serialise(false) })
    this.#schedule(commitMs)
  }

  /** At the latest in `delayMs`, and never later than an earlier call said. */
  #schedule(delayMs: number): void {
    if (this.#closing) return
    if (delayMs === 0 && this.#state !== 'failing') {
      if (this.#syncWanted) return
      this.#syncWanted = true
      // What else arrives in this turn shares the sync.
      queueMicrotask(() => {
        this.#syncWanted = false
        void this.#sync()
      })
      return
    }
    const due = this.#options.ticker.now() + (this.#state === 'failing' ? Math.max(delayMs, retryMs) : delayMs)
    if (due >= this.#timerDue) return
    this.#cancelTimer?.()
    this.#timerDue = due
    this.#cancelTimer = this.#options.ticker.after(due - this.#options.ticker.now(), () => {
      this.#timerDue = Number.POSITIVE_INFINITY
      void this.#sync()
    })
  }

  /** One sync after the other; resolves when one that began after the call has ended. Never rejects. */
  async #sync(): Promise<void> {
    while (this.#syncing) await this.#syncing
    if (this.#durable.durableEnd >= this.#durable.end && this.#state === 'ok') return
    this.#syncing = this.#syncOnce().finally(() => {
      this.#syncing = undefined
    })
    await this.#syncing
  }

  async #syncOnce(): Promise<void> {
    const { ticker, log } = this.#options
    const end = this.#durable.end
    const waiting = this.#waitingBytes
    const snapshot = this.#snapshotWanted ? { position: end, state: this.positions.serialise(true) } : undefined
    this.positions.beginCommit()
    this.counters.syncs++
    try {
      await this.#durable.sync()
    } catch (error) {
      this.counters.failedSyncs++
      if (this.#state !== 'failing') log.error({ err: error }, 'the inbox cannot be written; nothing is confirmed')
      this.#state = 'failing'
      this.#cause = error
      this.#schedule(retryMs)
      return
    }
    this.positions.endCommit()
    this.#waitingBytes = Math.max(0, this.#waitingBytes - waiting)
    if (this.#state === 'failing') {
      this.#state = 'ok'
      this.#roomCheckedAt = Number.NEGATIVE_INFINITY
      log.info('the inbox can be written again')
    }
    if (snapshot) {
      this.#snapshotWanted = false
      void this.#writeSnapshot(snapshot)
    }
    if (ticker.now() - this.#roomCheckedAt >= retryMs) await this.#checkRoom()
    this.#rotated()
    for (const run of this.#onCommit) run()
    if (this.#durable.end > end) this.#schedule(this.#waitingBytes >= commitBytes ? 0 : commitMs)
  }

  #rotated(): void {
    const first = this.#durable.segments().at(-1)?.first ?? this.#durable.end
    if (first === this.#segmentFirst || this.#closing) return
    this.#segmentFirst = first
    this.#snapshotWanted = true
    this.#appendCheckpoint()
    for (const run of this.#onSegment) run()
  }

  /** Sets `ok` or `full` by the room that is left; goes on looking while it is full. */
  async #checkRoom(): Promise<void> {
    const { files, folder, maxBytes, ticker, log } = this.#options
    this.#roomCheckedAt = ticker.now()
    const free = await files.freeBytes(folder).catch(() => Number.POSITIVE_INFINITY)
    if (this.#state === 'failing') return
    const full = free < this.#reserveBytes || this.#durable.bytes >= maxBytes
    if (full && this.#state === 'ok') {
      log.error(
        { freeBytes: free, inboxBytes: this.#durable.bytes, maxBytes },
        'no room in the inbox; nothing is confirmed',
      )
    } else if (!full && this.#state === 'full') log.info('there is room in the inbox again')
    const turned = full && this.#state === 'ok'
    this.#state = full ? 'full' : 'ok'
    if (full) this.#schedule(retryMs)
    // What was only kept goes first.
    if (turned) for (const run of this.#onSegment) run()
  }

  async #readDisk(from: number, maxRecords: number, end: number): Promise<{ records: InboxRecord[]; next: number }> {
    const found = await this.#durable.read(from, maxRecords, 4 * 1024 * 1024)
    const records: InboxRecord[] = []
    for (const record of found) {
      try {
        const entry = decodeEntry(record)
        if (entry.kind !== 'checkpoint') records.push({ position: record.position, entry })
      } catch (error) {
        this.counters.damaged++
        this.#options.log.error({ err: error, position: record.position }, 'a record of the inbox cannot be read')
      }
    }
    const last = found.at(-1)
    return { records, next: last ? last.position + 1 : end }
  }

  async #writeSnapshot(snapshot: Snapshot): Promise<void> {
    const { files, folder, log } = this.#options
    try {
      await files.replace(snapshotPath(folder), new TextEncoder().encode(JSON.stringify(snapshot)))
    } catch (error) {
      log.debug({ err: error }, 'the snapshot of the inbox was not written; the next start takes longer')
    }
  }

  #refusal(): PenstockError {
    if (this.#cause instanceof PenstockError) return this.#cause
    const details = { path: this.#options.folder, cause: String(this.#cause) }
    return new PenstockError('disk-failed', details, { cause: this.#cause })
  }
}
