import type { BatchReading } from '@penstock/core/delivery/batch.ts'
import type { Clock } from '@penstock/core/runtime/clock.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { Boot } from '../acquisition/boot.ts'
import { readText } from './identity.ts'
import type { StoredBatch } from './record.ts'

/** No edge of this program ran before: an earlier date is a box that woke up without a clock. */
export const earliestPlausibleMs = Date.UTC(2026, 0, 1)

/** `trusted`: the calendar is right; `none`: it never is; `detect`: it is unless it says a date before this program was made. */
export type ClockTrust = 'trusted' | 'detect' | 'none'

export interface StampsOptions {
  readonly files: FileLayer
  readonly path: string
  readonly clock: Clock
  readonly boot: Boot
  readonly trust: ClockTrust
}

const keptBoots = 16
const sameClockMs = 5_000

/**
 * Times of a box that may have no clock (no battery, no NTP after a power cut). While the calendar is not trusted, the durable
 * lane waits for the first confirmation; its payload timestamp gives the offset of this boot, by which readings are stamped anew
 * from their monotonic time. Readings of an earlier boot that never learned its offset go out as uncertain (clock).
 */
export class Stamps {
  readonly #options: StampsOptions
  /** boot id → ms UTC at monotonic 0 */
  #offsets: Record<string, number>

  private constructor(options: StampsOptions, offsets: Record<string, number>) {
    this.#options = options
    this.#offsets = offsets
  }

  static async open(options: StampsOptions): Promise<Stamps> {
    const text = await readText(options.files, options.path)
    return new Stamps(options, text === null ? {} : parseOffsets(text))
  }

  get bootId(): string {
    return this.#options.boot.id
  }

  /** Whether the calendar can be trusted now. */
  get synchronised(): boolean {
    const { trust, clock } = this.#options
    return trust === 'trusted' || (trust === 'detect' && clock.now() >= earliestPlausibleMs)
  }

  /** Whether readings of this boot can be sent with a right stamp. */
  get known(): boolean {
    return this.synchronised || this.#offsets[this.bootId] !== undefined
  }

  /** ms since the boot, as readings carry it */
  monotonicMs(): number {
    return Math.round(this.#options.boot.monotonicMs())
  }

  /** ms UTC: of the calendar, or as the gateway's time says if that cannot be trusted */
  now(): number {
    const offset = this.synchronised ? undefined : this.#offsets[this.bootId]
    return Math.max(0, Math.round(offset === undefined ? this.#options.clock.now() : offset + this.monotonicMs()))
  }

  /** The gateway says that it is `now`, ms UTC. Holds at once, and is durable when this resolves. */
  async learn(now: number): Promise<void> {
    if (this.known) return
    const offset = Math.round(now - this.monotonicMs())
    const others = Object.entries(this.#offsets).slice(1 - keptBoots)
    const offsets = { ...Object.fromEntries(others), [this.bootId]: offset }
    this.#offsets = offsets
    await this.#options.files.replace(this.#options.path, new TextEncoder().encode(JSON.stringify(offsets)))
  }

  /** The readings of a batch as they are sent. */
  stamped(batch: StoredBatch): readonly BatchReading[] {
    if (!batch.clockless) return batch.readings
    const offset = this.#offsets[batch.bootId]
    return offset === undefined ? batch.readings.map(unsure) : batch.readings.map(reading => restamp(reading, offset))
  }

  /** Source times of the first and last reading of a batch; null if its calendar was wrong and the offset is not known. */
  times(batch: StoredBatch): { firstMs: number; lastMs: number } | null {
    if (batch.clockless && this.#offsets[batch.bootId] === undefined) return null
    const readings = this.stamped(batch)
    const [first, last] = [readings[0], readings.at(-1)]
    return first && last ? { firstMs: first.sourceTimestamp, lastMs: last.sourceTimestamp } : null
  }

  /** Readings of this boot were stamped by a calendar that cannot be trusted; instruments that stamp themselves are left alone. */
  areClockless(readings: readonly BatchReading[]): boolean {
    if (this.synchronised) return false
    const offset = this.#options.clock.now() - this.monotonicMs()
    return readings.every(reading => Math.abs(reading.sourceTimestamp - reading.monotonicMs - offset) < sameClockMs)
  }

  /** A reading of this boot with the best time that is known. */
  current(reading: BatchReading): BatchReading {
    const offset = this.#offsets[this.bootId]
    return offset === undefined || !this.areClockless([reading]) ? reading : restamp(reading, offset)
  }
}

const restamp = (reading: BatchReading, offset: number): BatchReading => ({
  ...reading,
  sourceTimestamp: offset + reading.monotonicMs,
})

const unsure = (reading: BatchReading): BatchReading =>
  reading.quality === 'good' ? { ...reading, quality: 'uncertain', reason: 'clock' } : reading

function parseOffsets(text: string): Record<string, number> {
  try {
    const json: unknown = JSON.parse(text)
    if (typeof json !== 'object' || json === null) return {}
    return Object.fromEntries(Object.entries(json).filter(([, value]) => Number.isFinite(value)))
  } catch {
    return {}
  }
}
