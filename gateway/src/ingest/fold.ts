import type { DurableLog } from '@penstock/core/runtime/durable-log.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import { Positions } from './positions.ts'
import { decodeEntry } from './record-codec.ts'

/** The fold of an inbox as it is kept beside it. Losing it costs time at the next start, nothing else. */
export interface Snapshot {
  /** the fold of all records below */
  readonly position: number
  readonly state: string
}

export const snapshotPath = (folder: string): string => `${folder}/positions.json`

/** null when there is none or it is damaged: then the whole log is read. */
export async function readSnapshot(files: FileLayer, folder: string, log: Logger): Promise<Snapshot | null> {
  try {
    const bytes = await files.readWhole(snapshotPath(folder))
    if (!bytes) return null
    const snapshot = JSON.parse(new TextDecoder().decode(bytes)) as Snapshot
    new Positions().restore(snapshot.state)
    return Number.isSafeInteger(snapshot.position) ? snapshot : null
  } catch (error) {
    log.warn({ err: error }, 'the snapshot of the inbox cannot be read; the whole inbox is read instead')
    return null
  }
}

/** Snapshot, then every record above it; a checkpoint replaces everything before it. */
export async function fold(
  durable: DurableLog,
  snapshot: Snapshot | null,
  log: Logger,
): Promise<{ positions: Positions; end: number; checkpoint: number }> {
  const positions = new Positions()
  let at = durable.first
  let checkpoint = -1
  if (snapshot && snapshot.position >= durable.first) {
    positions.restore(snapshot.state)
    at = snapshot.position
  }
  while (at < durable.durableEnd) {
    const records = await durable.read(at, 10_000, 4 * 1024 * 1024)
    for (const record of records) {
      try {
        const entry = decodeEntry(record, false)
        if (entry.kind === 'checkpoint') checkpoint = record.position
        positions.apply(entry)
      } catch (error) {
        log.error({ err: error, position: record.position }, 'a record of the inbox cannot be read')
      }
    }
    const last = records.at(-1)
    if (!last) break
    at = last.position + 1
  }
  positions.beginCommit()
  positions.endCommit()
  return { positions, end: Math.max(durable.end, snapshot?.position ?? 0), checkpoint }
}
