import { AlarmEngine } from '@penstock/core/alarms/engine.ts'
import type { EngineInput } from '@penstock/core/alarms/input.ts'
import type { JournalRecord } from '@penstock/core/alarms/journal-record.ts'
import type { RuleFile } from '@penstock/core/alarms/rule-file.ts'
import { decodeSnapshot, encodeSnapshot } from '@penstock/core/alarms/snapshot.ts'
import type { Reading } from '@penstock/core/reading.ts'

export const runs = (fallback: number): number => Number(process.env.PENSTOCK_RUNS ?? fallback)

export const reading = (tag: string, value: number | null, at: number, more: Partial<Reading> = {}): Reading => ({
  tag,
  type: 'Double',
  value,
  quality: value === null ? 'bad' : 'good',
  reason: value === null ? 'timeout' : null,
  sourceTimestamp: at,
  ...more,
})

/** Folds inputs; between them it does what the service does: a tick when something falls due. */
export class Fold {
  engine = new AlarmEngine()
  readonly journal: JournalRecord[] = []
  readonly #files: readonly RuleFile[]
  #position = 0

  constructor(files: readonly RuleFile[], at: number) {
    this.#files = files
    this.apply({ kind: 'rules', at, hash: JSON.stringify(files).length.toString(), files })
  }

  apply(input: EngineInput): readonly JournalRecord[] {
    const records = this.engine.apply(this.#position++, input)
    this.journal.push(...records)
    return records
  }

  /** Time passes up to `until`. */
  passTo(until: number): void {
    for (;;) {
      const due = Math.max(
        this.engine.now,
        Math.min(this.engine.nextDue() ?? Number.POSITIVE_INFINITY, this.engine.now + 20_000),
      )
      if (due > until) return
      this.apply({ kind: 'tick', at: due })
      if (due === until) return
    }
  }

  restart(): void {
    const restored = decodeSnapshot(encodeSnapshot(this.engine, this.#files))
    if (!restored) throw new Error('the snapshot cannot be read')
    this.engine = restored.engine
  }

  /** What happened to alarms, without places in the inbox. */
  happened(...keys: (keyof JournalRecord)[]): unknown[] {
    const shown = keys.length > 0 ? keys : (['alarm', 'kind', 'at', 'level', 'occ', 'ann', 'after', 'late'] as const)
    return this.journal.filter(record => record.alarm !== null).map(record => shown.map(key => record[key]))
  }
}
