import { ascending, isLong, pause, quantile, until } from './kit/numbers.ts'
import { BenchWorld, startFleet } from './kit/world.ts'
import { formatRows, type Row } from './row.ts'

const edges = 200
const rounds = isLong ? 10 : 3

/**
 * 200 edges with 10 devices of 10 tags; the gateway is killed and started. Time from its start until every edge was born again
 * and has a confirmation of its new session.
 */
export async function benchBirths(): Promise<Row[]> {
  const world = BenchWorld.open()
  try {
    const broker = await world.startBroker()
    let gateway = await world.startGateway({ loadEdges: edges })
    const fleet = world.keep(startFleet())
    const shape = { edges, devices: 10, tagsPerDevice: 10 }
    await fleet.call('open', { port: broker.port, folder: world.folder, ...shape })
    const allConfirmed = async (): Promise<boolean> => (await fleet.call<number>('confirmed')) === edges
    await until('all edges are born', 90_000, allConfirmed)
    const took: number[] = []
    for (let round = 0; round < rounds; round++) {
      await pause(3_000)
      await gateway.kill()
      await pause(1_000)
      await fleet.call('mark')
      const begun = performance.now()
      gateway = await world.restartGateway()
      await until('all edges are born again', 90_000, allConfirmed)
      took.push(performance.now() - begun)
    }
    return [
      {
        what: `${edges} edges born and confirmed after a gateway restart, longest of ${rounds} (${broker.name})`,
        ...{ value: quantile(ascending(took), 1) / 1_000, unit: 's', ceiling: null, ratio: null },
        bar: { of: 'value', atMost: 15 },
      },
    ]
  } finally {
    await world.close()
  }
}

if (import.meta.main) console.log(formatRows(await benchBirths()))
