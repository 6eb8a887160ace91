import type { Delays } from './kit/load-process.ts'
import { ascending, isLong, quantile } from './kit/numbers.ts'
import { BenchWorld, startLoad } from './kit/world.ts'
import { formatRows, type Row } from './row.ts'

const readingsPerSecond = 20_000
const perMessage = 50

/** From the publication of a batch to its confirmation at the edge, at 20 000 readings/s of 200 edges. */
export async function benchConfirmDelay(): Promise<Row[]> {
  const world = BenchWorld.open()
  try {
    const broker = await world.startBroker()
    const gateway = await world.startGateway({ loadEdges: 200 })
    const load = world.keep(startLoad())
    await load.call('connect', { port: broker.port, shape: { edges: 200, devices: 1, tagsPerDevice: 50 } })
    const pace = { readingsPerSecond, perMessage }
    await load.call('pace', { ...pace, seconds: 5 })
    const seconds = isLong ? 300 : 20
    const before = await gateway.metrics()
    const { delayMs } = await load.call<Delays>('pace', { ...pace, seconds })
    const after = await gateway.metrics()
    const wanted = (readingsPerSecond / perMessage) * seconds
    if (delayMs.length < wanted * 0.99) throw new Error(`${delayMs.length} of ${wanted} batches were confirmed`)
    const sorted = ascending(delayMs)
    const delay = (share: number, name: string, bar: Row['bar']): Row => ({
      what: `confirmation delay at 20 000 readings/s of 200 edges, ${name} (${broker.name})`,
      value: quantile(sorted, share),
      unit: 'ms',
      ceiling: null,
      ratio: null,
      bar,
    })
    return [
      delay(0.5, 'p50', null),
      delay(0.99, 'p99', { of: 'value', atMost: 500 }),
      {
        what: 'gateway at 20 000 readings/s of 200 edges',
        value: ((after.cpuSeconds - before.cpuSeconds) / seconds) * 100,
        unit: '% of a core',
        ceiling: null,
        ratio: null,
        bar: null,
      },
    ]
  } finally {
    await world.close()
  }
}

if (import.meta.main) console.log(formatRows(await benchConfirmDelay()))
