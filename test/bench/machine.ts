import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import path from 'node:path'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import { ascending, quantile } from './kit/numbers.ts'

const syncs = 200

/** What the figures were measured on, as lines of text. */
export async function machineFacts(): Promise<string[]> {
  const [processor] = cpus()
  const sorted = ascending(await syncTimes())
  const ms = (share: number): string => quantile(sorted, share).toFixed(2)
  return [
    `${new Date().toISOString()}, Node ${process.version} on ${process.platform} ${process.arch}`,
    `${cpus().length} × ${processor?.model ?? 'unknown processor'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    `load average before the run: ${loadavg()
      .map(load => load.toFixed(1))
      .join(' ')}`,
    `append of 4 KiB with fdatasync: p50 ${ms(0.5)} ms, p99 ${ms(0.99)} ms`,
  ]
}

async function syncTimes(): Promise<number[]> {
  const folder = await mkdtemp(path.join(process.env.PENSTOCK_BENCH_FOLDER ?? tmpdir(), 'penstock-bench-'))
  const file = await nodeFiles.open(path.join(folder, 'sync'))
  const times: number[] = []
  try {
    for (let count = 0; count < syncs; count++) {
      const begun = performance.now()
      await file.append([Buffer.alloc(4096, count)])
      await file.sync()
      times.push(performance.now() - begun)
    }
  } finally {
    await file.close()
    await rm(folder, { recursive: true, force: true })
  }
  return times
}
