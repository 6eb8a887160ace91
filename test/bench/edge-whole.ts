import { edgeLoad } from './kit/edge-load.ts'
import { isLong, pause, until } from './kit/numbers.ts'
import { BenchWorld, startBareReads, startModbusServer } from './kit/world.ts'
import { formatRows, type Row } from './row.ts'

const shape = { devices: 100, blocks: 10, scanMs: 1_000, connections: 10, maxInFlight: 4 }
const tags = 10_000

/**
 * The edge as it is run, from Modbus to the confirmations of a real gateway: 10 000 tags at 1 s, 100 devices, 10 blocks a device,
 * every value changing, outbox and publishing on. The ceiling sends the same requests at the same times and looks at nothing.
 */
export async function benchEdge(): Promise<Row[]> {
  const seconds = isLong ? 600 : 30
  const world = BenchWorld.open()
  try {
    await world.startBroker()
    const port = await world.keep(startModbusServer()).call<number>('listen')
    const bareReads = world.keep(startBareReads())
    const bare = await bareReads.call<{ cpuPercent: number; rssMiB: number; requests: number }>('read', {
      ...{ ...shape, port },
      seconds: Math.min(seconds, 20),
    })
    await bareReads.stop()
    const gateway = await world.startGateway({})
    const edge = await world.startEdge(edgeLoad({ ...shape, port }))
    const readings = 'penstock_ingest_readings_total'
    await until('readings are committed', 60_000, async () => (await gateway.metrics()).sum(readings) > 0)
    await pause(5_000)
    const before = await edge.metrics()
    const gatewayBefore = await gateway.metrics()
    const begun = performance.now()
    let rssMiB = 0
    for (let second = 0; second < seconds; second += 10) {
      await pause(10_000)
      rssMiB = Math.max(rssMiB, (await edge.metrics()).rssMiB)
    }
    const took = (performance.now() - begun) / 1_000
    const after = await edge.metrics()
    const gatewayAfter = await gateway.metrics()
    const perSecond = (gatewayAfter.sum(readings) - gatewayBefore.sum(readings)) / took
    const grown = (name: string, label: string) => after.sum(name, label) - before.sum(name, label)
    const row = (what: string, value: number, unit: string, ceiling: number | null, bar: Row['bar']): Row => ({
      ...{ what: `edge, 10 000 tags at 1 s: ${what}`, value, unit, ceiling, bar },
      ratio: ceiling === null ? null : value / ceiling,
    })
    return [
      row('processor', ((after.cpuSeconds - before.cpuSeconds) / took) * 100, '% of a core', bare.cpuPercent, {
        of: 'value',
        atMost: 6,
      }),
      row('memory', Math.max(rssMiB, after.rssMiB), 'MiB RSS', bare.rssMiB, { of: 'value', atMost: 120 }),
      row('missed cycles', grown('penstock_edge_device_events_total', 'event="missedScans"'), 'cycles', null, {
        of: 'value',
        atMost: 0,
      }),
      row('arrived at the gateway', perSecond, 'readings/s', tags / (shape.scanMs / 1_000), {
        of: 'ratio',
        atLeast: 0.98,
      }),
    ]
  } finally {
    await world.close()
  }
}

if (import.meta.main) console.log(formatRows(await benchEdge()))
