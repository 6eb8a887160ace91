import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { Logbook } from '../acquisition/acquisition.ts'
import type { ClassLog } from './class-log.ts'
import { readText } from './identity.ts'
import type { StoredBatch } from './record.ts'

/** Name of the tag by which a data logger says which of its rows is the last one in a batch. */
export const rowTag = 'row'

interface Checkpoint {
  /** records of class total below this are in `rows` */
  readonly upTo: number
  /** Sparkplug device id → number of the last row, as a decimal text */
  readonly rows: Readonly<Record<string, string>>
}

/**
 * Which row of each data logger is durable: the checkpoint and all records of class total behind it. The checkpoint is
 * written before records are dropped, so that nothing is read twice, and nothing skipped, whatever happens in between.
 */
export class OutboxLogbook implements Logbook {
  readonly #files: FileLayer
  readonly #path: string
  readonly #rows: Map<string, bigint>
  #waiting: { position: number; device: string; row: bigint }[] = []
  #upTo: number
  #changed = false

  private constructor(files: FileLayer, path: string, upTo: number, rows: Map<string, bigint>) {
    this.#files = files
    this.#path = path
    this.#upTo = upTo
    this.#rows = rows
  }

  static async open(files: FileLayer, path: string, totals: ClassLog): Promise<OutboxLogbook> {
    const checkpoint = parse(await readText(files, path))
    const rows = new Map(Object.entries(checkpoint.rows).map(([device, row]) => [device, BigInt(row)]))
    // a log that ends before the checkpoint is another one: what it holds is read from its start
    const from = checkpoint.upTo <= totals.durableEnd ? checkpoint.upTo : 0
    const logbook = new OutboxLogbook(files, path, totals.durableEnd, rows)
    for await (const { batch } of totals.records(from)) {
      const found = rowOf(batch)
      if (found) logbook.#note(found)
    }
    return logbook
  }

  lastRow(device: string): bigint | null {
    return this.#rows.get(device) ?? null
  }

  /** A batch of class total was appended; it counts when it is durable. */
  appended(position: number, batch: StoredBatch): void {
    const found = rowOf(batch)
    if (found) this.#waiting.push({ position, ...found })
  }

  durable(end: number): void {
    this.#upTo = end
    while (this.#waiting[0] && this.#waiting[0].position < end) {
      const row = this.#waiting.shift()
      if (row) this.#note(row)
    }
  }

  /** Makes the checkpoint durable, if rows came since the last one. */
  async save(): Promise<void> {
    if (!this.#changed) return
    this.#changed = false
    const rows = Object.fromEntries([...this.#rows].map(([device, row]) => [device, String(row)]))
    const text = JSON.stringify({ upTo: this.#upTo, rows } satisfies Checkpoint)
    try {
      await this.#files.replace(this.#path, new TextEncoder().encode(text))
    } catch (error) {
      this.#changed = true
      throw error
    }
  }

  #note({ device, row }: { device: string; row: bigint }): void {
    this.#changed = true
    this.#rows.set(device, row)
  }
}

function rowOf(batch: StoredBatch): { device: string; row: bigint } | null {
  if (batch.device === null) return null
  let row: bigint | null = null
  for (const { tag, value } of batch.readings) {
    if (typeof value === 'bigint' && tag.endsWith(`/${rowTag}`)) row = value
  }
  return row === null ? null : { device: batch.device, row }
}

function parse(text: string | null): Checkpoint {
  const nothing: Checkpoint = { upTo: 0, rows: {} }
  if (text === null) return nothing
  try {
    const { upTo, rows } = JSON.parse(text) as Checkpoint
    const good = Number.isSafeInteger(upTo) && Object.values(rows).every(row => /^\d+$/.test(row))
    return good ? { upTo, rows } : nothing
  } catch {
    return nothing
  }
}
