import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type DurableLog, openDurableLog } from '@penstock/core/runtime/durable-log.ts'
import type { OpenFile } from '@penstock/core/runtime/files.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import { formatRows, type Row } from './row.ts'

const records = 1_000_000
const recordBytes = 60
const perCommit = 100
const segmentBytes = 16 * 1024 * 1024
const slice = 5_000

/** Outbox and inbox: append and sync against a bare append with as many fdatasyncs, read back, the cost of the chain. */
export async function benchLog(): Promise<Row[]> {
  const folder = await mkdtemp(path.join(process.env.PENSTOCK_BENCH_FOLDER ?? tmpdir(), 'penstock-bench-'))
  try {
    const open = (name: string, chain: boolean) =>
      openDurableLog({ folder: path.join(folder, name), files: nodeFiles, segmentBytes, chain })
    const plain = await open('plain', false)
    const chained = await open('chained', true)
    const bare = await nodeFiles.open(path.join(folder, 'bare'))
    const body = Buffer.alloc(recordBytes, 7)
    const group = Buffer.alloc(recordBytes * perCommit, 7)

    // In short turns, so that all see the same disk and the same neighbours.
    const spent = { bare: 0, plain: 0, chained: 0 }
    for (let done = 0; done < records; done += slice) {
      spent.bare += await seconds(async () => {
        for (let i = 0; i < slice; i += perCommit) {
          await bare.append([group])
          await bare.sync()
        }
      })
      spent.plain += await seconds(() => appendSlice(plain, body))
      spent.chained += await seconds(() => appendSlice(chained, body))
    }
    const bareReadSeconds = await shortest(() => readBare(bare))
    const readSeconds = await shortest(() => readAll(plain))
    const verifySeconds = await shortest(() => mustBeWhole(chained))
    await bare.close()
    const openSeconds = await seconds(async () => {
      await plain.close()
      await (await open('plain', false)).close()
    })
    await chained.close()

    const ceiling = records / spent.bare
    const against = (value: number, bar: Row['bar']): Pick<Row, 'value' | 'ceiling' | 'ratio' | 'bar'> => ({
      value,
      ceiling,
      ratio: value / ceiling,
      bar,
    })
    const each = `${recordBytes} B, ${perCommit} a commit`
    return [
      {
        what: `durable log: append and sync, ${each}`,
        unit: 'records/s',
        ...against(records / spent.plain, { of: 'ratio', atLeast: 0.7 }),
      },
      { what: 'the same with hash chain', unit: 'records/s', ...against(records / spent.chained, null) },
      {
        what: 'durable log: read back',
        value: records / readSeconds,
        unit: 'records/s',
        ceiling: records / bareReadSeconds,
        ratio: bareReadSeconds / readSeconds,
        bar: { of: 'value', atLeast: 1_000_000 },
      },
      {
        what: 'hash chain: verify',
        value: records / verifySeconds,
        unit: 'records/s',
        ceiling: null,
        ratio: null,
        bar: null,
      },
      {
        what: 'durable log: close and open again',
        value: openSeconds * 1000,
        unit: 'ms',
        ceiling: null,
        ratio: null,
        bar: null,
      },
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const start = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - start) / 1e9
}

/** Of five passes, because the file is in the cache in all of them and the rest is other people's noise. */
async function shortest(work: () => Promise<void>): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let pass = 0; pass < 5; pass++) best = Math.min(best, await seconds(work))
  return best
}

/** The bytes alone, in blocks of 1 MiB. */
async function readBare(file: OpenFile): Promise<void> {
  const size = await file.size()
  for (let at = 0; at < size; ) at += (await file.read(at, 1024 * 1024)).length
}

async function appendSlice(log: DurableLog, body: Uint8Array): Promise<void> {
  for (let i = 0; i < slice; i += perCommit) {
    for (let j = 0; j < perCommit; j++) log.append(() => body)
    await log.sync()
  }
}

async function readAll(log: DurableLog): Promise<void> {
  let position = log.first
  while (position < log.durableEnd) {
    for (const record of await log.read(position, 10_000, 1024 * 1024)) {
      if (record.position !== position) throw new Error(`position ${position} is missing`)
      position++
    }
  }
  if (position !== records) throw new Error(`${position} of ${records} records were read`)
}

async function mustBeWhole(log: DurableLog): Promise<void> {
  const broken = await log.verify()
  if (broken) throw new Error(`the chain is broken: ${broken.what}`)
}

if (import.meta.main) console.log(formatRows(await benchLog()))
