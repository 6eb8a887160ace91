import { openDurableLog } from '@penstock/core/runtime/durable-log.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { Uplink } from '@penstock/edge/uplink/uplink.ts'
import { openIngest } from '@penstock/gateway/ingest/ingest.ts'
import { decodeEntry } from '@penstock/gateway/ingest/record-codec.ts'
import { LiveTable } from '@penstock/gateway/live/live-table.ts'
import { describe, expect, it } from 'vitest'
import { FaultyFiles } from '../support/faulty-files.ts'
import { ManualTime } from '../support/manual-time.ts'
import { Network, noFaults } from '../support/network.ts'
import { SeededRandom } from '../support/random.ts'
import { Plant } from './plant.ts'
import { Process } from './process.ts'

const hours = 3_600_000
const scanMs = 5000
const hostId = 'host'

describe('a broker that is away for ten hours', () => {
  it('costs nothing: the last index minus the first is what the meter counted, and no reading is stored twice', async () => {
    const time = new ManualTime(Date.UTC(2026, 10, 1))
    const random = new SeededRandom(11)
    const network = new Network({ time, random, faults: noFaults })
    const machine = () => {
      const disk = new FaultyFiles(random.next)
      const calm = { clockOffsetMs: 0, syncMs: 20, dieAtOperation: null, onDeath: () => {} }
      return { disk, process: new Process({ time, disk, random, ...calm }) }
    }
    const edge = machine()
    const gateway = machine()
    const ingest = await during(
      time,
      openIngest({
        config: {
          hostId,
          groups: ['g'],
          folder: 'gateway',
          segmentBytes: 2 ** 20,
          maxBytes: 2 ** 30,
          keepBytes: 2 ** 30,
        },
        ...{ files: gateway.process.files, clock: gateway.process.clock, ticker: gateway.process.ticker },
        connect: network.connect,
        log: silentLogger,
        registry: {
          edge: () => ({ hardwareId: 'box' }),
          boundHardware: () => null,
          bindHardware: () => {},
          groupOfSite: () => 'g',
        },
        consumers: [],
        live: new LiveTable(),
        random: random.next,
        limits: { limitsFor: () => null, readsLive: () => false },
      }),
    )
    const uplink = await during(
      time,
      Uplink.open({
        ...{ group: 'g', edge: 'e01', host: hostId, username: null, servers: 1, software: 'test', ledger: null },
        ...{ files: edge.process.files, folder: 'outbox', clock: edge.process.clock, ticker: edge.process.ticker },
        connect: network.connect,
        log: silentLogger,
        random: random.next,
        hardwareId: 'box',
        limits: { maxBytes: 64 * 2 ** 20, segmentBytes: 2 ** 20, syncMs: 250, maxAgeMs: 0 },
        boot: { id: 'boot', monotonicMs: () => edge.process.ticker.now() },
        trust: 'trusted',
      }),
    )
    const plant = new Plant()
    uplink.start(plant)
    const scan = async (durationMs: number) => {
      for (let passed = 0; passed < durationMs; passed += scanMs) {
        for (const name of ['total', 'raw'] as const) {
          const record = uplink.outbox.of(name).end
          const now = [edge.process.clock.now(), edge.process.ticker.now()] as const
          uplink.report(plant.batch(name, 'a', record, 'boot', ...now).batch)
        }
        await time.advance(scanMs)
      }
    }
    const waiting = () => uplink.outbox.of('total').end - uplink.outbox.of('total').cursor

    await scan(60_000)
    expect(waiting()).toBeLessThan(3)
    network.crash({ keepRetained: false })
    await scan(10 * hours)
    expect(waiting()).toBeGreaterThan(7000)
    network.restart()
    await scan(10 * 60_000)
    expect(waiting()).toBeLessThan(3)
    await during(time, uplink.close())
    await during(time, ingest.close())

    const counts: bigint[] = []
    const log = await openDurableLog({ folder: 'gateway/inbox/log', files: gateway.disk, segmentBytes: 2 ** 20 })
    for (let from = log.first; from < log.durableEnd; ) {
      const records = await log.read(from, 5000, 2 ** 20)
      for (const record of records) {
        const entry = decodeEntry(record)
        expect(entry.kind, 'a declared loss').not.toBe('loss')
        if (entry.kind === 'batch' && entry.class === 'total') {
          for (const reading of entry.readings) counts.push(BigInt(String(reading.value)))
        }
      }
      from = (records.at(-1)?.position ?? log.durableEnd) + 1
    }
    const counted = plant.reported.total.length
    expect(counts.length).toBe(counted)
    expect(counts.every((count, index) => count === BigInt(index))).toBe(true)
    expect((counts.at(-1) ?? 0n) - (counts[0] ?? 0n)).toBe(BigInt(counted - 1))
  }, 60_000)
})

/** Lets time pass until the promise is settled. */
async function during<T>(time: ManualTime, promise: Promise<T>): Promise<T> {
  let settled = false
  const done = () => {
    settled = true
  }
  promise.then(done, done)
  while (!settled) await time.advance(10)
  return promise
}
