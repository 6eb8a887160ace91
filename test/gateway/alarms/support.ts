import { join } from 'node:path'
import type { RuleFile } from '@penstock/core/alarms/rule-file.ts'
import { loadRuleFile } from '@penstock/core/alarms/rule-file.ts'
import type { Reading } from '@penstock/core/reading.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { AlarmService } from '@penstock/gateway/alarms/alarm-service.ts'
import type { InboxWriter } from '@penstock/gateway/consumer.ts'
import type { InboxEntry, InboxRecord } from '@penstock/gateway/ingest/record.ts'
import { FaultyFiles, seeded } from '../../support/faulty-files.ts'
import { ManualTime, turn } from '../../support/manual-time.ts'

export const rules: RuleFile = loadRuleFile(join(import.meta.dirname, '../../alarms/golden/rules.yaml')).file
const start = Date.parse('2026-03-01T00:00:00+08:00')
export const leakTag = 'site-a/cl2-1/concentration'
export const leak = 'cl2.leak@site-a:cl2-1:concentration'

/** An inbox that is always durable: what is appended is applied on `commit`. */
class MemoryInbox implements InboxWriter {
  readonly records: InboxRecord[] = []
  /** applies what is new; null while there is nobody */
  consume: ((records: readonly InboxRecord[]) => Promise<void>) | null = null
  #applied = 0

  append(entry: InboxEntry): number {
    const position = this.records.length
    this.records.push({ position, entry })
    return position
  }

  async commit(): Promise<void> {
    const news = this.records.slice(this.#applied)
    this.#applied = this.records.length
    if (news.length > 0) await this.consume?.(news)
  }
}

export class World {
  readonly files = new FaultyFiles(seeded(1))
  readonly time = new ManualTime(start)
  readonly inbox = new MemoryInbox()
  snapshotEvery = 1_000

  async open(): Promise<AlarmService> {
    const service = await AlarmService.open({
      folder: 'alarms',
      files: this.files,
      clock: this.time,
      ticker: this.time,
      log: silentLogger,
      tagsOf: () => [leakTag, 'site-a/fm-1/flow'],
      snapshotEvery: this.snapshotEvery,
    })
    await service.apply(this.inbox.records.filter(({ position }) => position >= service.cursor))
    this.inbox.consume = records => service.apply(records)
    return service
  }

  config(): void {
    this.inbox.append({
      kind: 'config',
      what: 'rules',
      hash: 'r1',
      content: JSON.stringify([rules]),
      at: this.time.now(),
    })
  }

  /** A reading that comes in order, now. */
  read(value: number, tag = leakTag): void {
    const at = this.time.now()
    this.inbox.append({ ...batch, receivedAt: at, skewMs: 0, live: true, readings: [reading(tag, value, at)] })
  }

  /** Lets time pass; ticks that are appended are committed. */
  async pass(ms: number): Promise<void> {
    const end = this.time.now() + ms
    while (this.time.now() < end) {
      await this.time.advance(Math.min(250, end - this.time.now()))
      await this.inbox.commit()
      await turn()
    }
  }
}

const batch = { kind: 'batch', edge: 'g/e', epoch: 'e', class: 'alarm', from: 0, pos: 0, crc: 0 } as const

const reading = (tag: string, value: number, at: number): Reading => ({
  tag,
  type: 'Double',
  value,
  quality: 'good',
  reason: null,
  sourceTimestamp: at,
})
