import type { Cancel, Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import type { FileLayer, OpenFile } from '@penstock/core/runtime/files.ts'
import type { FaultyFiles } from '../support/faulty-files.ts'
import type { ManualTime } from '../support/manual-time.ts'
import type { SeededRandom } from '../support/random.ts'

export interface ProcessOptions {
  readonly time: ManualTime
  readonly disk: FaultyFiles
  readonly random: SeededRandom
  /** added to the time of the world: this machine's calendar */
  readonly clockOffsetMs: number
  /** a sync takes a random part of this */
  readonly syncMs: number
  /** The process dies at the so-many-th of its file operations; null: it does not. */
  readonly dieAtOperation: number | null
  readonly onDeath: () => void
}

/**
 * What a process has of its machine: time, and files on a disk that outlives it. When it dies no timer of it fires any more and no
 * file operation of it comes back, so whatever the objects inside still await is never continued.
 */
export class Process {
  readonly clock: Clock
  readonly ticker: Ticker
  readonly files: FileLayer
  readonly #options: ProcessOptions
  readonly #timers = new Set<Cancel>()
  #operations = 0
  #alive = true

  constructor(options: ProcessOptions) {
    this.#options = options
    const { time, clockOffsetMs } = options
    const startedAt = time.now()
    const after = (delayMs: number, run: () => void): Cancel => this.#after(delayMs, run)
    this.clock = { now: () => Math.floor(time.now() + clockOffsetMs), after }
    this.ticker = { now: () => time.now() - startedAt, after }
    this.files = this.#facade()
  }

  get alive(): boolean {
    return this.#alive
  }

  /** File operations so far. */
  get operations(): number {
    return this.#operations
  }

  die(): void {
    if (!this.#alive) return
    this.#alive = false
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
    this.#options.onDeath()
  }

  #after(delayMs: number, run: () => void): Cancel {
    if (!this.#alive) return () => {}
    // as Node's timers do: whole milliseconds, at least one
    const cancel = this.#options.time.after(Math.max(1, Math.ceil(delayMs)), () => {
      this.#timers.delete(cancel)
      run()
    })
    this.#timers.add(cancel)
    return () => {
      this.#timers.delete(cancel)
      cancel()
    }
  }

  /** Runs one file operation. A death at it happens before or after its effect; either way nobody hears of it. */
  async #run<T>(operation: () => Promise<T>): Promise<T> {
    if (!this.#alive) return never
    this.#operations++
    if (this.#operations === this.#options.dieAtOperation) {
      if (this.#options.random.chance(0.5)) await operation().catch(() => {})
      this.die()
      return never
    }
    const result = await operation()
    return this.#alive ? result : never
  }

  async #slowly<T>(operation: () => Promise<T>): Promise<T> {
    const { random, syncMs } = this.#options
    const delayMs = random.chance(0.5) ? 0 : random.next() * syncMs
    if (delayMs > 0) await new Promise<void>(resolve => this.#after(delayMs, resolve))
    return operation()
  }

  #facade(): FileLayer {
    const { disk } = this.#options
    return {
      list: folder => this.#run(() => disk.list(folder)),
      makeFolder: folder => this.#run(() => disk.makeFolder(folder)),
      open: async path => this.#wrap(await this.#run(() => disk.open(path))),
      readWhole: path => this.#run(() => disk.readWhole(path)),
      replace: (path, content) => this.#run(() => this.#slowly(() => disk.replace(path, content))),
      remove: path => this.#run(() => disk.remove(path)),
      rename: (from, to) => this.#run(() => disk.rename(from, to)),
      syncFolder: folder => this.#run(() => disk.syncFolder(folder)),
      freeBytes: folder => this.#run(() => disk.freeBytes(folder)),
    }
  }

  #wrap(file: OpenFile): OpenFile {
    return {
      size: () => this.#run(() => file.size()),
      append: chunks => this.#run(() => file.append(chunks)),
      sync: () => this.#run(() => this.#slowly(() => file.sync())),
      truncate: size => this.#run(() => file.truncate(size)),
      read: (offset, length) => this.#run(() => file.read(offset, length)),
      close: () => this.#run(() => file.close()),
    }
  }
}

const never: Promise<never> = new Promise(() => {})
