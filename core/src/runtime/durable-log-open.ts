import { sameLink, verifyChain } from './chain.ts'
import type { ChainBreak, Dictionary, DurableLog, DurableLogOptions, LogRecord, Segment } from './durable-log.ts'
import { decodeHeader } from './durable-log-format.ts'
import { LogReader } from './durable-log-reader.ts'
import { recover } from './durable-log-recovery.ts'
import { scanSegment } from './durable-log-scan.ts'
import { attempt, readAround, type StoredSegment, withFile } from './durable-log-segment.ts'
import { LogWriter } from './durable-log-writer.ts'
import { PenstockError } from './errors.ts'
import type { FileLayer } from './files.ts'

const mergeBytes = 256 * 1024

/**
 * Opens the log in `folder`, which is made if missing. The caller holds the lock of the data folder.
 * @throws PenstockError `disk-failed` only if the folder cannot be read at all, or the end of a chain not made durable. A full disk is no obstacle: then what was written
 *   last (see `recover`) stays pending, and the next `sync` tries again.
 */
export async function openDurableLog(options: DurableLogOptions): Promise<DurableLog> {
  const { folder, files, segmentBytes, chain = false } = options
  const onDamage = options.onDamage ?? (() => {})
  await files.makeFolder(folder)
  const recovered = await recover({
    folder,
    files,
    chain,
    mergeBytes: Math.min(mergeBytes, segmentBytes / 4),
    onDamage,
  })
  const writer = new LogWriter({ folder, files, segmentBytes, chain }, recovered)
  await attempt(() => writer.sync())
  return new SegmentedLog(options, writer, new LogReader(files, onDamage))
}

class SegmentedLog implements DurableLog {
  readonly #folder: string
  readonly #files: FileLayer
  readonly #writer: LogWriter
  readonly #reader: LogReader
  #trimming: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor({ folder, files }: DurableLogOptions, writer: LogWriter, reader: LogReader) {
    this.#folder = folder
    this.#files = files
    this.#writer = writer
    this.#reader = reader
  }

  get first(): number {
    return this.#writer.segments[0]?.first ?? this.#writer.durableEnd
  }

  get end(): number {
    return this.#writer.end
  }

  get durableEnd(): number {
    return this.#writer.durableEnd
  }

  get bytes(): number {
    return this.#writer.segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  get pendingBytes(): number {
    return this.#writer.pendingBytes
  }

  get head(): Uint8Array {
    return this.#writer.link
  }

  segments(): readonly Segment[] {
    return this.#writer.segments.map(({ first, end, bytes }) => ({ first, end, bytes }))
  }

  append(encode: (dictionary: Dictionary) => Uint8Array): { position: number; crc: number } {
    this.#mustBeOpen()
    return this.#writer.append(encode)
  }

  async sync(): Promise<void> {
    this.#mustBeOpen()
    await this.#writer.sync()
  }

  async read(from: number, maxRecords: number, maxBytes: number): Promise<LogRecord[]> {
    this.#mustBeOpen()
    return this.#reader.read(this.#writer.segments, from, maxRecords, maxBytes)
  }

  trim(before: number): Promise<void> {
    this.#mustBeOpen()
    const trimmed = this.#trimming.then(() => this.#trim(before))
    this.#trimming = trimmed.catch(() => {})
    return trimmed
  }

  async skipTo(position: number): Promise<void> {
    this.#mustBeOpen()
    this.#writer.skipTo(position)
    await this.#writer.sync()
  }

  verify(): Promise<ChainBreak | null> {
    this.#mustBeOpen()
    // In turn with trimming, so that no file goes away meanwhile.
    const verified = this.#trimming.then(() => this.#verify())
    this.#trimming = verified.then(
      () => {},
      () => {},
    )
    return verified
  }

  async #verify(): Promise<ChainBreak | null> {
    let link: Uint8Array | null = null
    for (const segment of [...this.#writer.segments]) {
      const checked = await this.#verifySegment(segment, link)
      if ('what' in checked) return checked
      link = checked.link
    }
    return null
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #mustBeOpen(): void {
    if (this.#closing) throw new PenstockError('closed', { what: 'the log' })
  }

  async #close(): Promise<void> {
    await this.#trimming
    try {
      await this.#writer.sync()
    } finally {
      await this.#reader.close()
      await this.#writer.close()
    }
  }

  async #trim(before: number): Promise<void> {
    const { segments } = this.#writer
    for (;;) {
      const [oldest, next] = segments
      // The last one stays: its header proves how far the numbering has come.
      if (!oldest || !next || oldest.end > before) return
      segments.shift()
      try {
        await this.#reader.forget(oldest)
        await this.#files.remove(oldest.path)
      } catch (error) {
        segments.unshift(oldest)
        throw error
      }
      // One by one, so that no power cut brings an older segment back without those behind it.
      await this.#files.syncFolder(this.#folder)
    }
  }

  /** The link behind the segment, or where the chain breaks in it. `before`: link behind the segment before it, if there is one. */
  async #verifySegment(
    { path, name, first, bytes }: StoredSegment,
    before: Uint8Array | null,
  ): Promise<{ link: Uint8Array } | ChainBreak> {
    const content = await withFile(this.#files, path, file => readAround(file, 0, bytes))
    const header = decodeHeader(content)
    if (typeof header !== 'object') return { segment: name, offset: 0, what: 'the header is unreadable' }
    if (!header.chained) return { link: header.link }
    if (before && !sameLink(before, header.link)) {
      return { segment: name, offset: 0, what: 'it does not continue the segment before it' }
    }
    const starts: number[] = [0]
    const groups = scanSegment(content, first).seals.map(({ offset, next, link }) => {
      const start = starts.at(-1) ?? 0
      starts.push(next)
      return { payloads: [content.subarray(start, offset)], link }
    })
    const { intact, groups: sound, head } = verifyChain(header.link, groups)
    return intact ? { link: head } : { segment: name, offset: starts[sound] ?? 0, what: 'a group was altered' }
  }
}
