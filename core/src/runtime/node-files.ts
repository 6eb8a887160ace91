import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { PenstockError } from './errors.ts'
import type { FileLayer, OpenFile } from './files.ts'

// The callback functions on a bare descriptor: a commit is two of these calls, and fs/promises costs a third more each.
const open = promisify(fs.open)
const close = promisify(fs.close)
const fsync = promisify(fs.fsync)
const fdatasync = promisify(fs.fdatasync)
const ftruncate = promisify(fs.ftruncate)
const fstat = promisify(fs.fstat)

/** The error number in words of the system (`ENOSPC`), if `error` came from it, directly or as a cause. */
export function systemCode(error: unknown): string | undefined {
  for (let e = error; e instanceof Error; e = e.cause) {
    if ('code' in e && typeof e.code === 'string' && /^E[A-Z0-9]+$/.test(e.code)) return e.code
  }
  return undefined
}

/** A system error as PenstockError: `disk-full` for ENOSPC and EDQUOT, else `disk-failed`. */
export function diskError(file: string, error: unknown): PenstockError {
  if (error instanceof PenstockError) return error
  const code = systemCode(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') return new PenstockError('disk-full', { path: file }, { cause: error })
  const cause = error instanceof Error ? error.message : String(error)
  return new PenstockError('disk-failed', { path: file, cause }, { cause: error })
}

async function guarded<T>(file: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw diskError(file, error)
  }
}

/** One `writev`; it may write less than asked (a nearly full disk, a signal). */
function writeSome(fd: number, chunks: readonly Uint8Array[]): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.writev(fd, chunks, (error, written) => (error ? reject(error) : resolve(written)))
  })
}

async function writeAll(fd: number, chunks: readonly Uint8Array[]): Promise<void> {
  let rest = chunks.filter(chunk => chunk.length > 0)
  while (rest.length > 0) {
    let written = await writeSome(fd, rest.slice(0, 1024)) // IOV_MAX
    let done = 0
    for (const chunk of rest) {
      if (written < chunk.length) break
      written -= chunk.length
      done++
    }
    rest = rest.slice(done)
    const [head] = rest
    if (written > 0 && head) rest[0] = head.subarray(written)
  }
}

function readSome(fd: number, buffer: Uint8Array, filled: number, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, buffer, filled, buffer.length - filled, offset + filled, (error, count) =>
      error ? reject(error) : resolve(count),
    )
  })
}

class NodeFile implements OpenFile {
  readonly #path: string
  #fd: number | undefined

  constructor(file: string, fd: number) {
    this.#path = file
    this.#fd = fd
  }

  size(): Promise<number> {
    return this.#run(async fd => (await fstat(fd)).size)
  }

  append(chunks: readonly Uint8Array[]): Promise<void> {
    return this.#run(fd => writeAll(fd, chunks))
  }

  sync(): Promise<void> {
    return this.#run(fd => fdatasync(fd))
  }

  truncate(size: number): Promise<void> {
    return this.#run(fd => ftruncate(fd, size))
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#run(async fd => {
      const buffer = Buffer.allocUnsafeSlow(length)
      let filled = 0
      while (filled < length) {
        const count = await readSome(fd, buffer, filled, offset)
        if (count === 0) break
        filled += count
      }
      return filled === length ? buffer : buffer.subarray(0, filled)
    })
  }

  async close(): Promise<void> {
    const fd = this.#fd
    this.#fd = undefined
    if (fd !== undefined) await guarded(this.#path, () => close(fd))
  }

  async #run<T>(work: (fd: number) => Promise<T>): Promise<T> {
    if (this.#fd === undefined) throw new PenstockError('closed', { what: this.#path })
    try {
      return await work(this.#fd)
    } catch (error) {
      throw diskError(this.#path, error)
    }
  }
}

/** A folder cannot be opened for sync on Windows; NTFS journals its names. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const fd = await open(folder, 'r')
  try {
    await fsync(fd)
  } finally {
    await close(fd)
  }
}

async function makeFolder(folder: string): Promise<void> {
  const made = await fs.promises.mkdir(folder, { recursive: true })
  if (made === undefined) return
  const highest = path.resolve(made)
  for (let at = path.resolve(folder); at.length >= highest.length; at = path.dirname(at)) {
    await syncFolder(path.dirname(at))
  }
}

async function replace(file: string, content: Uint8Array): Promise<void> {
  const temporary = `${file}.new`
  const fd = await open(temporary, 'w')
  try {
    await writeAll(fd, [content])
    await fsync(fd)
  } finally {
    await close(fd)
  }
  await fs.promises.rename(temporary, file)
  await syncFolder(path.dirname(file))
}

async function unlessMissing<T, F>(run: () => Promise<T>, fallback: F): Promise<T | F> {
  try {
    return await run()
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return fallback
    throw error
  }
}

/** The file system. `replace` must not run twice at once for the same path. */
export const nodeFiles: FileLayer = {
  list: folder =>
    guarded(folder, async () => {
      const names: string[] = await unlessMissing(() => fs.promises.readdir(folder), [])
      return names.sort()
    }),
  makeFolder: folder => guarded(folder, () => makeFolder(folder)),
  open: file => guarded(file, async () => new NodeFile(file, await open(file, 'a+', 0o640))),
  readWhole: file => guarded(file, () => unlessMissing(() => fs.promises.readFile(file), null)),
  replace: (file, content) => guarded(file, () => replace(file, content)),
  remove: file => guarded(file, () => unlessMissing(() => fs.promises.unlink(file), undefined)),
  rename: (from, to) => guarded(from, () => fs.promises.rename(from, to)),
  syncFolder: folder => guarded(folder, () => syncFolder(folder)),
  freeBytes: folder =>
    guarded(folder, async () => {
      const { bavail, bsize } = await fs.promises.statfs(folder)
      return bavail * bsize
    }),
}
