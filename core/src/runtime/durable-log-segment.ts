import type { FileLayer, OpenFile } from './files.ts'
import { systemCode } from './node-files.ts'

/** A segment file whose content, up to `bytes`, is durable. */
export interface StoredSegment {
  readonly serial: number
  readonly name: string
  readonly path: string
  readonly first: number
  /** one past the last position that counts; what the file holds beyond is void */
  end: number
  bytes: number
}

/** Runs `work` on the file and closes it, whatever happens. */
export async function withFile<T>(files: FileLayer, path: string, work: (file: OpenFile) => Promise<T>): Promise<T> {
  const file = await files.open(path)
  try {
    return await work(file)
  } finally {
    await file.close()
  }
}

export const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Carries out what may fail without harm: tidying up. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work()
    return true
  } catch {
    return false
  }
}

const pageBytes = 4096

/**
 * Like `file.read`, but where the medium has bad sectors (EIO) the pages around them come as zeros. Throws if the first, the
 * middle and the last page of the file cannot be read either: then the disk is gone rather than bad in places.
 */
export async function readAround(file: OpenFile, offset: number, length: number): Promise<Buffer> {
  try {
    return asBuffer(await file.read(offset, length))
  } catch (error) {
    if (systemCode(error) !== 'EIO') throw error
    const size = await file.size()
    const probes = [0, size / 2, size - 1].map(place => Math.floor(place / pageBytes) * pageBytes)
    const answers = await Promise.all(probes.map(place => attempt(() => file.read(place, pageBytes))))
    if (!answers.includes(true)) throw error
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, size - offset)))
    for (let at = 0; at < bytes.length; ) {
      const next = Math.min(bytes.length, at + pageBytes - ((offset + at) % pageBytes))
      const start = at
      await attempt(async () => bytes.set(await file.read(offset + start, next - start), start))
      at = next
    }
    return bytes
  }
}
