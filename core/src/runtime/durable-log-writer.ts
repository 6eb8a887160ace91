import path from 'node:path'
import { chainNext } from './chain.ts'
import type { Dictionary } from './durable-log.ts'
import { encodeFrame, maxPosition, sealKind, segmentName } from './durable-log-format.ts'
import { Part, type PartFile } from './durable-log-part.ts'
import type { Recovered } from './durable-log-recovery.ts'
import { attempt, type StoredSegment } from './durable-log-segment.ts'
import type { FileLayer } from './files.ts'

const noLink = new Uint8Array(0)

export interface WriterOptions {
  readonly folder: string
  readonly files: FileLayer
  readonly segmentBytes: number
  readonly chain: boolean
}

/** Appends and syncs; owns the list of durable segments, which reading and trimming share. */
export class LogWriter {
  readonly #options: WriterOptions
  readonly segments: StoredSegment[]
  #superseded: Recovered['superseded']
  #nextSerial: number
  #link: Uint8Array
  #end: number
  #durableEnd: number
  /** Oldest first; all but the last are complete. The first may have a file. */
  readonly #parts: Part[] = []
  #running: Promise<void> | null = null
  #queued: Promise<void> | null = null

  constructor(options: WriterOptions, recovered: Recovered) {
    this.#options = options
    this.segments = recovered.segments
    this.#superseded = recovered.superseded
    this.#nextSerial = recovered.nextSerial
    this.#link = recovered.link
    this.#end = recovered.end
    this.#durableEnd = recovered.carried?.first ?? recovered.end
    if (recovered.carried) this.#parts.push(Part.of(recovered.carried, recovered.end))
  }

  get end(): number {
    return this.#end
  }

  get durableEnd(): number {
    return this.#durableEnd
  }

  get link(): Uint8Array {
    return this.#link
  }

  get pendingBytes(): number {
    return this.#parts.reduce((sum, part) => sum + part.pendingBytes, 0)
  }

  append(encode: (dictionary: Dictionary) => Uint8Array): { position: number; crc: number } {
    let part = this.#parts.at(-1)
    if (!part || part.isFull(this.#options.segmentBytes)) {
      part = new Part(this.#end)
      this.#parts.push(part)
    }
    const added = part.add(encode(part))
    this.#end = part.end
    return added
  }

  /** A new segment that begins at `position`; durable with the next sync. */
  skipTo(position: number): void {
    if (!Number.isSafeInteger(position) || position < this.#end || position > maxPosition) {
      throw new RangeError(`cannot continue at position ${position}: the log has reached ${this.#end}`)
    }
    const part = new Part(position)
    part.mustExist = true
    this.#parts.push(part)
    this.#end = position
  }

  /** One commit runs at a time; who comes meanwhile shares the next one. */
  sync(): Promise<void> {
    if (this.#queued) return this.#queued
    if (!this.#running) {
      if (!this.#hasWork()) return Promise.resolve()
      this.#running = this.#commit().finally(() => {
        this.#running = null
      })
      return this.#running
    }
    this.#queued = this.#running
      .catch(() => {})
      .then(() => {
        this.#queued = null
        return this.sync()
      })
    return this.#queued
  }

  /** Closes the files; what is pending stays in memory, lost to the disk. */
  async close(): Promise<void> {
    for (const part of this.#parts) await attempt(async () => part.file?.open.close())
  }

  #hasWork(): boolean {
    return this.#superseded.length > 0 || this.#parts.some(part => part.hasWork)
  }

  async #commit(): Promise<void> {
    // A segment is synced before the next one is begun, so that a torn one is always the last.
    const last = this.#parts.at(-1)
    for (;;) {
      const part = this.#parts[0]
      if (!part) break
      if (part.hasWork) await this.#flush(part)
      if (part === last || part.hasWork) break
      this.#parts.shift()
      await attempt(async () => part.file?.open.close())
    }
    await this.#removeSuperseded()
  }

  async #flush(part: Part): Promise<void> {
    const taken = part.take()
    try {
      const isNew = part.file === null
      const file = part.file ?? (await this.#create(part))
      const { chain, files, folder } = this.#options
      const frames = isNew ? [...part.preamble(file.serial, chain, this.#link), ...taken.frames] : [...taken.frames]
      const link = chain ? chainNext(this.#link, [Buffer.concat(frames)]) : noLink
      frames.push(encodeFrame(sealKind, taken.end, taken.entries, link))
      await file.open.append(frames)
      await file.open.sync()
      if (isNew) await files.syncFolder(folder)
      part.written(taken)
      this.#stored(part, file, frames, taken.end)
      if (chain) this.#link = link
    } catch (error) {
      await this.#abandon(part)
      throw error
    }
  }

  async #create(part: Part): Promise<PartFile> {
    const { files, folder } = this.#options
    const serial = this.#nextSerial++
    const name = segmentName(serial, part.first)
    const file = path.join(folder, name)
    part.file = { path: file, name, serial, open: await files.open(file), stored: null }
    return part.file
  }

  #stored(part: Part, file: PartFile, frames: readonly Buffer[], end: number): void {
    let bytes = 0
    for (const frame of frames) bytes += frame.length
    if (file.stored) {
      file.stored.end = end
      file.stored.bytes += bytes
    } else {
      const { path: place, name, serial } = file
      file.stored = { serial, name, path: place, first: part.first, end, bytes }
      this.segments.push(file.stored)
    }
    this.#durableEnd = end
  }

  /**
   * After a failed fdatasync the pages count as clean although they are not on the disk, so that a second one succeeds and
   * proves nothing. Hence never again into this file: what is not durable is kept and goes into a new one.
   */
  async #abandon(part: Part): Promise<void> {
    const { file } = part
    part.leaveFile()
    if (!file) return
    const { stored, open } = file
    if (stored) await attempt(() => open.truncate(stored.bytes))
    await attempt(() => open.close())
    if (!stored) await attempt(() => this.#options.files.remove(file.path))
  }

  async #removeSuperseded(): Promise<void> {
    const { files } = this.#options
    const gone = this.#superseded
    this.#superseded = []
    for (const { path: file, damaged } of gone) {
      await attempt(() => (damaged ? files.rename(file, `${file}.damaged`) : files.remove(file)))
    }
  }
}
