import { openDurableLog } from '@penstock/core/runtime/durable-log.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import type { InboxRecord } from '@penstock/gateway/ingest/record.ts'
import { decodeEntry } from '@penstock/gateway/ingest/record-codec.ts'

/** Everything that a stopped gateway holds in its inbox, in order. */
export async function* readInbox(folder: string): AsyncGenerator<InboxRecord> {
  const log = await openDurableLog({ folder, files: nodeFiles, segmentBytes: 16 * 2 ** 20 })
  try {
    let from = log.first
    while (from < log.durableEnd) {
      const records = await log.read(from, 10_000, 4 * 2 ** 20)
      for (const record of records) {
        const entry = decodeEntry(record)
        if (entry.kind !== 'checkpoint') yield { position: record.position, entry }
      }
      const last = records.at(-1)
      if (!last) break
      from = last.position + 1
    }
  } finally {
    await log.close()
  }
}
