import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Reading } from '@penstock/core/reading.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { EmbeddedHistorian, type EmbeddedHistorianOptions } from '@penstock/gateway/historian/embedded.ts'
import type { InboxRecord } from '@penstock/gateway/ingest/record.ts'
import { ManualTime } from '../../support/manual-time.ts'

export const startTime = Date.UTC(2026, 10, 21, 12)

export const flow = 'waterworks/fm-1/flow'

export const good = (tag: string, sourceTimestamp: number, value: Reading['value']): Reading => ({
  tag,
  type: 'Double',
  value,
  quality: 'good',
  reason: null,
  sourceTimestamp,
})

/** An inbox that only remembers: what a crash of the historian leaves. */
export class RememberedInbox {
  readonly records: InboxRecord[] = []

  batch(readings: readonly Reading[]): InboxRecord {
    return this.#add({
      kind: 'batch',
      edge: '320706/e01',
      epoch: '1',
      class: 'raw',
      from: this.records.length,
      pos: this.records.length,
      crc: 0,
      receivedAt: startTime,
      skewMs: 0,
      live: true,
      readings,
    })
  }

  live(readings: readonly Reading[]): InboxRecord {
    return this.#add({ kind: 'live', edge: '320706/e01', receivedAt: startTime, skewMs: 0, readings })
  }

  #add(entry: InboxRecord['entry']): InboxRecord {
    const record = { position: this.records.length, entry }
    this.records.push(record)
    return record
  }
}

export function makeFolder(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-historian-'))
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

export function openTestHistorian(
  folder: string,
  options: Partial<EmbeddedHistorianOptions> & { time?: ManualTime } = {},
): EmbeddedHistorian {
  const time = options.time ?? new ManualTime(startTime)
  return EmbeddedHistorian.open({
    folder,
    clock: time,
    ticker: time,
    log: silentLogger,
    rawDays: 35,
    maxBytes: 2 ** 30,
    freeBytes: () => 2 ** 40,
    ...options,
  })
}
