import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { systemClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { EmbeddedHistorian } from '@penstock/gateway/historian/embedded.ts'
import type { InboxRecord } from '@penstock/gateway/ingest/record.ts'
import Database from 'better-sqlite3'
import { formatRows, type Row } from './row.ts'

const tags = 5_000
const rounds = 400
const perBatch = 50

/** One scan of all tags, as batches of 50 readings. */
function scan(round: number): InboxRecord[] {
  const at = Date.UTC(2026, 0, 1) + round * 1000
  const records: InboxRecord[] = []
  for (let first = 0; first < tags; first += perBatch) {
    const readings = Array.from({ length: perBatch }, (_, index) => ({
      tag: `site-${first}/device/tag-${index}`,
      type: 'Double' as const,
      value: Math.fround(100 + Math.sin(round + index) * 10),
      quality: 'good' as const,
      reason: null,
      sourceTimestamp: at + (first % 7),
    }))
    const position = (round * tags + first) / perBatch
    const head = {
      kind: 'batch',
      edge: 'g/e',
      epoch: '1',
      class: 'raw',
      from: position,
      pos: position,
      crc: 0,
    } as const
    records.push({ position, entry: { ...head, receivedAt: at, skewMs: 0, live: true, readings } })
  }
  return records
}

/** What a bare table that is readable by tag does with the same readings and syncs, on a sample. */
function bareRate(folder: string): number {
  const db = new Database(path.join(folder, 'bare.sqlite'))
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.exec('CREATE TABLE reading (tag INTEGER, at INTEGER, value REAL, PRIMARY KEY (tag, at)) WITHOUT ROWID')
  const insert = db.prepare('INSERT INTO reading VALUES (?, ?, ?)')
  const count = 40
  const begin = performance.now()
  for (let round = 0; round < count; round++) {
    db.transaction(() => {
      for (let tag = 0; tag < tags; tag++) insert.run(tag, round, Math.sin(round))
    })()
  }
  const rate = (count * tags) / ((performance.now() - begin) / 1000)
  db.close()
  return rate
}

/** The embedded historian: readings of 5 000 tags into chunks, and a day of one tag back. */
export async function benchHistorian(): Promise<Row[]> {
  const folder = mkdtempSync(path.join(process.env.PENSTOCK_BENCH_FOLDER ?? tmpdir(), 'penstock-bench-'))
  const historian = EmbeddedHistorian.open({
    folder,
    clock: systemClock,
    ticker: systemTicker,
    log: silentLogger,
    rawDays: 3650,
    maxBytes: 2 ** 40,
  })
  try {
    let seconds = 0
    let cpu = 0
    for (let round = 0; round < rounds; round++) {
      const records = scan(round)
      const begin = performance.now()
      const before = process.cpuUsage()
      await historian.apply(records)
      if (round === rounds - 1) await historian.flush()
      const { user, system } = process.cpuUsage(before)
      seconds += (performance.now() - begin) / 1000
      cpu += (user + system) / 1e6
    }
    const readings = tags * rounds
    await historian.houseKeeping()
    const bytes = historian.bytes / readings
    const begin = performance.now()
    let read = 0
    for (let tag = 0; tag < 50; tag++) {
      const { readings: found } = await historian.query(`site-0/device/tag-${tag}`, 0, 1e15, 1e6)
      read += found.length
    }
    const readRate = read / ((performance.now() - begin) / 1000)
    const rate = readings / seconds
    const bare = bareRate(folder)
    const row = (
      what: string,
      value: number,
      unit: string,
      bar: Row['bar'] = null,
      ceiling: number | null = null,
    ): Row => ({
      what,
      value,
      unit,
      bar,
      ceiling,
      ratio: ceiling === null ? null : value / ceiling,
    })
    return [
      row('historian: store, against one row a reading', rate, 'readings/s', { of: 'ratio', atLeast: 2 }, bare),
      row('historian: CPU', (cpu / readings) * 1e6, 's/million readings', { of: 'value', atMost: 1.5 }),
      row('historian: size', bytes, 'bytes/reading', { of: 'value', atMost: 18 }),
      row('historian: read back', readRate, 'readings/s'),
    ]
  } finally {
    await historian.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

if (import.meta.main) console.log(formatRows(await benchHistorian()))
