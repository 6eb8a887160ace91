/**
 * The file operations that durable data needs, so that tests can put a layer under them that keeps only what was synced.
 * The real one is `nodeFiles`; the faulty one lives in test/support. Errors: PenstockError `disk-full` or `disk-failed`.
 */
export interface FileLayer {
  /** Names in a folder, sorted; empty if the folder does not exist. */
  list(folder: string): Promise<string[]>
  makeFolder(folder: string): Promise<void>
  /** Opens for appending and reading at any place; creates the file if missing. */
  open(path: string): Promise<OpenFile>
  /** The whole file, or null if it does not exist. */
  readWhole(path: string): Promise<Uint8Array | null>
  /** Durable replacement: temporary file, fsync, rename, fsync of the folder. */
  replace(path: string, content: Uint8Array): Promise<void>
  remove(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** Makes creations, renames and removals in the folder durable. */
  syncFolder(folder: string): Promise<void>
  /** Bytes that may still be written to the file system of `folder`. */
  freeBytes(folder: string): Promise<number>
}

export interface OpenFile {
  size(): Promise<number>
  append(chunks: readonly Uint8Array[]): Promise<void>
  /** fdatasync */
  sync(): Promise<void>
  truncate(size: number): Promise<void>
  read(offset: number, length: number): Promise<Uint8Array>
  close(): Promise<void>
}
