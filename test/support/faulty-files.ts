import path from 'node:path'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer, OpenFile } from '@penstock/core/runtime/files.ts'
import { diskError } from '@penstock/core/runtime/node-files.ts'

const sectorBytes = 512

interface Range {
  readonly start: number
  readonly end: number
}

/** Content as the page cache shows it, and as the disk has it. */
class Inode {
  cache: Buffer = Buffer.alloc(0)
  size = 0
  disk: Buffer = Buffer.alloc(0)
  diskSize = 0
  /** everything below is the same on the disk */
  cleanTo = 0
  /** clean in the eyes of the cache, but never written: what a failed fdatasync leaves behind */
  dropped: Range[] = []

  copy(): Inode {
    const copy = new Inode()
    copy.cache = Buffer.from(this.cache.subarray(0, this.size))
    copy.size = this.size
    copy.disk = Buffer.from(this.disk.subarray(0, this.diskSize))
    copy.diskSize = this.diskSize
    copy.cleanTo = this.cleanTo
    copy.dropped = [...this.dropped]
    return copy
  }

  append(chunk: Uint8Array): void {
    this.cache = grown(this.cache, this.size, this.size + chunk.length)
    this.cache.set(chunk, this.size)
    this.size += chunk.length
  }

  truncate(size: number): void {
    if (size > this.size) {
      this.append(new Uint8Array(size - this.size))
      return
    }
    this.size = size
    this.cleanTo = Math.min(this.cleanTo, size)
    this.dropped = this.dropped.filter(({ start }) => start < size)
  }

  sync(): void {
    this.disk = grown(this.disk, this.diskSize, this.size)
    this.disk.set(this.cache.subarray(this.cleanTo, this.size), this.cleanTo)
    for (const { start, end } of this.dropped) {
      this.disk.fill(0, Math.max(start, this.cleanTo), Math.max(this.cleanTo, Math.min(end, this.size)))
    }
    this.diskSize = this.size
    this.cleanTo = this.size
  }

  failSync(): void {
    if (this.size > this.cleanTo) this.dropped.push({ start: this.cleanTo, end: this.size })
    // The length is metadata and may well have reached the disk; the data has not.
    this.disk = grown(this.disk, this.diskSize, this.size)
    this.disk.fill(0, this.cleanTo, this.size)
    this.diskSize = this.size
    this.cleanTo = this.size
  }

  /** Of what was not synced any part may have got to the disk: any length, and of that any sectors. */
  crash(random: () => number): void {
    if (this.size !== this.diskSize || this.cleanTo < this.size) {
      const unsynced = this.size - this.cleanTo
      if (random() < 0.5 && this.diskSize > this.size) {
        // a truncation that did not happen: the old content is still there
      } else {
        const kept = random() < 0.3 ? unsynced : Math.floor(random() * (unsynced + 1))
        const end = this.cleanTo + kept
        this.disk = grown(this.disk, this.diskSize, end)
        const holes = random() < 0.4
        for (let at = this.cleanTo; at < end; ) {
          const next = Math.min(end, (Math.floor(at / sectorBytes) + 1) * sectorBytes)
          if (holes && random() < 0.3) this.disk.fill(0, at, next)
          else this.disk.set(this.cache.subarray(at, next), at)
          at = next
        }
        this.diskSize = end
      }
    }
    this.cache = Buffer.from(this.disk.subarray(0, this.diskSize))
    this.size = this.diskSize
    this.cleanTo = this.size
    this.dropped = []
  }
}

function grown(buffer: Buffer, used: number, needed: number): Buffer {
  if (needed <= buffer.length) return buffer
  const larger = Buffer.alloc(Math.max(256, needed, buffer.length * 2))
  larger.set(buffer.subarray(0, used))
  return larger
}

type NameChange =
  | { readonly kind: 'create'; readonly path: string; readonly inode: Inode }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }

function applyChange(names: Map<string, Inode>, change: NameChange): void {
  if (change.kind === 'create') names.set(change.path, change.inode)
  else if (change.kind === 'remove') names.delete(change.path)
  else {
    const inode = names.get(change.from)
    names.delete(change.from)
    if (inode) names.set(change.to, inode)
  }
}

/** A disk image or a backup: what `snapshot` gives and `restore` takes, any number of times. */
export interface DiskImage {
  readonly files: ReadonlyMap<string, Inode>
}

export type FaultyOperation = 'open' | 'append' | 'sync' | 'truncate' | 'read' | 'remove' | 'rename' | 'syncFolder'
export type FaultCode = 'ENOSPC' | 'EIO'

interface Fault {
  readonly operation: FaultyOperation
  readonly code: FaultCode
  readonly path: RegExp
  remaining: number
}

/**
 * Files in memory that behave as badly as a disk may: only what was synced survives `crash`, of the rest any part; names are
 * durable with the folder's sync; after a failed sync the data is gone although it can be read. Without timers, deterministic by
 * `random` ([0, 1)). Folders exist by themselves and are always durable.
 */
export class FaultyFiles implements FileLayer {
  readonly #random: () => number
  #names = new Map<string, Inode>()
  #diskNames = new Map<string, Inode>()
  #changes: NameChange[] = []
  #faults: Fault[] = []
  #bad: (Range & { readonly path: string })[] = []
  #power = 0
  #operationsLeft = Number.POSITIVE_INFINITY
  #openFiles = 0

  /** Bytes that can still be written: an append takes the part that fits and fails with `disk-full`; removing gives back. */
  free = Number.POSITIVE_INFINITY
  syncs = 0
  folderSyncs = 0
  operations = 0

  constructor(random: () => number) {
    this.#random = random
  }

  get openFiles(): number {
    return this.#openFiles
  }

  /** Paths of all files, as a running process sees them. */
  get paths(): string[] {
    return [...this.#names.keys()].sort()
  }

  /** The next `count` operations of that kind, on paths that match, fail; of a failing append any part is written. */
  fail(operation: FaultyOperation, code: FaultCode, count = 1, paths = /(?:)/): void {
    this.#faults.push({ operation, code, path: paths, remaining: count })
  }

  heal(): void {
    this.#faults = []
  }

  /** After `operations` more operations the power goes: nothing has an effect any more and everything rejects. Then call `crash`. */
  cutAfter(operations: number): void {
    this.#operationsLeft = operations
  }

  /** The power went and came back. Open files are dead. */
  crash(): void {
    for (const change of this.#changes) {
      if (this.#random() < 0.5) applyChange(this.#diskNames, change)
    }
    this.#names = new Map(this.#diskNames)
    for (const inode of new Set(this.#names.values())) inode.crash(this.#random)
    this.#restart()
  }

  /** The process was killed, the machine went on: all that was written is still there. Open files are dead. */
  kill(): void {
    this.#restart()
  }

  /** What is on the disk now, as after a clean shutdown of the machine. */
  snapshot(): DiskImage {
    const copies = new Map<Inode, Inode>()
    const files = new Map<string, Inode>()
    for (const [file, inode] of this.#names) {
      const copy = copies.get(inode) ?? inode.copy()
      copies.set(inode, copy)
      files.set(file, copy)
    }
    return { files }
  }

  /** The disk as it was; open files are dead. */
  restore(image: DiskImage): void {
    this.#names = new Map([...image.files].map(([file, inode]) => [file, inode.copy()]))
    for (const inode of this.#names.values()) {
      inode.dropped = []
      inode.cleanTo = 0
      inode.sync()
    }
    this.#diskNames = new Map(this.#names)
    this.#bad = []
    this.#restart()
  }

  /** Changes bytes behind everybody's back, on the disk and in the cache. */
  damage(file: string, change: (content: Buffer) => void): void {
    const inode = this.#names.get(file)
    if (!inode) throw new Error(`no file ${file}`)
    change(inode.cache.subarray(0, inode.size))
    inode.cleanTo = 0
    inode.sync()
  }

  /** Bytes [start, end) of the file lie on bad sectors: reading any of them fails with EIO, until the disk is restored. */
  spoil(file: string, start: number, end: number): void {
    this.#bad.push({ path: file, start, end })
  }

  async list(folder: string): Promise<string[]> {
    this.#step('list', folder)
    const names: string[] = []
    for (const file of this.#names.keys()) if (path.dirname(file) === folder) names.push(path.basename(file))
    return names.sort()
  }

  async makeFolder(folder: string): Promise<void> {
    this.#step('makeFolder', folder)
  }

  async open(file: string): Promise<OpenFile> {
    this.#step('open', file)
    let inode = this.#names.get(file)
    if (!inode) {
      inode = new Inode()
      this.#change({ kind: 'create', path: file, inode })
    }
    this.#openFiles++
    return this.#handle(file, inode, this.#power)
  }

  async readWhole(file: string): Promise<Uint8Array | null> {
    this.#step('read', file)
    const inode = this.#names.get(file)
    return inode ? Uint8Array.from(inode.cache.subarray(0, inode.size)) : null
  }

  async replace(file: string, content: Uint8Array): Promise<void> {
    const temporary = `${file}.new`
    const open = await this.open(temporary)
    try {
      await open.truncate(0)
      await open.append([content])
      await open.sync()
    } finally {
      await open.close()
    }
    await this.rename(temporary, file)
    await this.syncFolder(path.dirname(file))
  }

  async remove(file: string): Promise<void> {
    this.#step('remove', file)
    const inode = this.#names.get(file)
    if (!inode) return
    this.free += inode.size
    this.#change({ kind: 'remove', path: file })
  }

  async rename(from: string, to: string): Promise<void> {
    this.#step('rename', from)
    if (!this.#names.has(from)) throw diskError(from, systemError('ENOENT'))
    this.#change({ kind: 'rename', from, to })
  }

  async syncFolder(folder: string): Promise<void> {
    this.#step('syncFolder', folder)
    this.folderSyncs++
    const here = (change: NameChange): boolean =>
      path.dirname(change.kind === 'rename' ? change.to : change.path) === folder
    for (const change of this.#changes) if (here(change)) applyChange(this.#diskNames, change)
    this.#changes = this.#changes.filter(change => !here(change))
  }

  async freeBytes(folder: string): Promise<number> {
    this.#step('freeBytes', folder)
    return this.free
  }

  #change(change: NameChange): void {
    applyChange(this.#names, change)
    this.#changes.push(change)
  }

  #restart(): void {
    this.#changes = []
    this.#diskNames = new Map(this.#names)
    this.#power++
    this.#operationsLeft = Number.POSITIVE_INFINITY
    this.#openFiles = 0
    this.heal()
  }

  #handle(file: string, inode: Inode, power: number): OpenFile {
    let open = true
    const step = (operation: FaultyOperation | 'size', onFault?: () => void): void => {
      if (!open) throw new PenstockError('closed', { what: file })
      if (power !== this.#power) throw diskError(file, systemError('EBADF'))
      this.#step(operation, file, onFault)
    }
    return {
      size: async () => {
        step('size')
        return inode.size
      },
      append: async chunks => {
        const bytes = Buffer.concat(chunks)
        const part = (limit: number): void => inode.append(bytes.subarray(0, limit))
        step('append', () => part(Math.floor(this.#random() * (bytes.length + 1))))
        const fits = Math.min(bytes.length, Math.max(0, this.free))
        part(fits)
        this.free -= fits
        if (fits < bytes.length) throw diskError(file, systemError('ENOSPC'))
      },
      sync: async () => {
        step('sync', () => inode.failSync())
        this.syncs++
        inode.sync()
      },
      truncate: async size => {
        step('truncate')
        this.free += Math.max(0, inode.size - size)
        inode.truncate(size)
      },
      read: async (offset, length) => {
        step('read')
        if (this.#bad.some(({ path: at, start, end }) => at === file && start < offset + length && end > offset)) {
          throw diskError(file, systemError('EIO'))
        }
        return Uint8Array.from(
          inode.cache.subarray(Math.min(offset, inode.size), Math.min(offset + length, inode.size)),
        )
      },
      close: async () => {
        if (open && power === this.#power) this.#openFiles--
        open = false
      },
    }
  }

  /** Counts the operation and lets it fail if it is to. `onFault`: what it did all the same. */
  #step(operation: string, file: string, onFault?: () => void): void {
    this.operations++
    if (this.#operationsLeft <= 0) throw diskError(file, new Error('the power is off'))
    this.#operationsLeft--
    if (this.#operationsLeft <= 0) {
      if (operation === 'append') onFault?.()
      throw diskError(file, new Error('the power went'))
    }
    const fault = this.#faults.find(each => each.operation === operation && each.remaining > 0 && each.path.test(file))
    if (!fault) return
    fault.remaining--
    onFault?.()
    throw diskError(file, systemError(fault.code))
  }
}

const systemError = (code: string): Error => Object.assign(new Error(code), { code })

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}
