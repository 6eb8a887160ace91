import type { JournalRecord } from '@penstock/core/alarms/journal-record.ts'
import { AlarmJournal } from '@penstock/gateway/alarms/journal.ts'
import { describe, expect, it } from 'vitest'
import { FaultyFiles, seeded } from '../../support/faulty-files.ts'

const record = (position: number, index = 0, more: Partial<JournalRecord> = {}): JournalRecord => ({
  kind: 'RAISE',
  position,
  index,
  at: position * 1_000,
  appliedAt: position * 1_000,
  lane: 'live',
  cause: 'C2',
  announce: true,
  alarm: `a@${position % 3}`,
  rule: 'a',
  ruleHash: 'x',
  source: `${position % 3}`,
  priority: 'high',
  level: 'H',
  fromLevel: null,
  before: 'NORMAL',
  after: 'UNACK',
  occ: 1,
  ann: 1,
  value: position,
  limit: 1,
  unit: 'ppm',
  reason: null,
  activeSince: null,
  returnedAt: null,
  late: false,
  count: 1,
  actor: null,
  commandId: null,
  comment: null,
  text: { zh: '氯', en: 'chlorine' },
  route: null,
  ...more,
})

async function journalOf(count: number): Promise<{ files: FaultyFiles; journal: AlarmJournal }> {
  const files = new FaultyFiles(seeded(7))
  const journal = await AlarmJournal.open({ folder: 'journal', files, segmentBytes: 64 * 1024 })
  for (let position = 0; position < count; position++) {
    journal.append([record(position)])
    if (position % 10 === 9) await journal.sync()
  }
  await journal.sync()
  return { files, journal }
}

describe('the alarm journal', () => {
  it('gives back what was written, newest first, in pages that fit together', async () => {
    const { journal } = await journalOf(1_300)
    const seen: number[] = []
    let before: number | undefined
    for (;;) {
      const page = await journal.query({ limit: 117, ...(before !== undefined && { before }) })
      seen.push(...page.records.map(({ seq }) => seq))
      if (page.next === null) break
      before = page.next
    }
    expect(seen).toEqual(Array.from({ length: 1_300 }, (_, index) => 1_299 - index))
    const one = await journal.query({ alarm: 'a@1', from: 600_000, to: 610_000, limit: 10 })
    expect(one.records.map(({ at }) => at)).toEqual([607_000, 604_000, 601_000])
    const { seq, ...stored } = one.records[0] ?? { seq: -1 }
    expect([seq, stored]).toEqual([607, record(607)])
    await journal.close()
  })

  it('appends what is missing when the same records come again', async () => {
    const { files, journal } = await journalOf(20)
    await journal.close()
    const again = await AlarmJournal.open({ folder: 'journal', files })
    expect(again.nextPosition).toBe(20)
    expect(again.append([record(18), record(19), record(19, 1), record(20)])).toBe(2)
    await again.sync()
    const { records } = await again.query({ limit: 3 })
    expect(records.map(({ position, index }) => [position, index])).toEqual([
      [20, 0],
      [19, 1],
      [19, 0],
    ])
    await again.close()
  })

  it('notices an edit, also one whose checksum was made right', async () => {
    const { files, journal } = await journalOf(50)
    expect(await journal.verify()).toBeNull()
    await journal.close()
    const [segment = ''] = (await files.list('journal')).filter(name => !name.startsWith('.'))
    files.damage(`journal/${segment}`, content => {
      const place = content.indexOf('chlorine', 2_000)
      content.write('chlorime', place)
    })
    const edited = await AlarmJournal.open({ folder: 'journal', files })
    expect(await edited.verify()).not.toBeNull()
    await edited.close()
  })
})
