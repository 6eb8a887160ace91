import { isLong, until } from './kit/numbers.ts'
import { limitRule } from './kit/rules.ts'
import { BenchWorld, startLoad } from './kit/world.ts'
import { formatRows, type Row } from './row.ts'

const shape = { edges: 200, devices: 10, tagsPerDevice: 50 }
const tags = shape.edges * shape.devices * shape.tagsPerDevice
const standing = tags / 10
const rounds = isLong ? 10 : 3

/** Start of a gateway that knows 100 000 tags and 10 000 standing alarms: after a clean stop, and after kill -9. */
export async function benchGatewayStart(): Promise<Row[]> {
  const world = BenchWorld.open()
  try {
    const broker = await world.startBroker()
    const rules = limitRule({ tag: '*/*/*', unit: 'm3/h', high: 100_000 })
    let gateway = await world.startGateway({ loadEdges: shape.edges, rules })
    const load = startLoad()
    await load.call('connect', { port: broker.port, shape, alarming: standing })
    const open = async () => (await gateway.metrics()).sum('penstock_alarms_open')
    await until('all alarms stand', 120_000, async () => (await open()) >= standing && (await gateway.caughtUp()), 500)
    await load.stop()
    const starts = { stopped: 0, killed: 0 }
    for (let round = 0; round < rounds * 2; round++) {
      const kind = round % 2 === 0 ? 'killed' : 'stopped'
      if (kind === 'killed') await gateway.kill()
      else await gateway.stop()
      const begun = performance.now()
      gateway = await world.restartGateway()
      starts[kind] = Math.max(starts[kind], performance.now() - begun)
      const alarms = await open()
      if (alarms < standing) throw new Error(`${alarms} of ${standing} alarms stand after the start`)
    }
    const row = (name: string, ms: number): Row => ({
      what: `gateway start with ${tags} tags and ${standing} standing alarms, ${name}, longest of ${rounds}`,
      ...{ value: ms / 1_000, unit: 's', ceiling: null, ratio: null, bar: { of: 'value', atMost: 5 } },
    })
    return [row('after kill -9', starts.killed), row('after a stop', starts.stopped)]
  } finally {
    await world.close()
  }
}

if (import.meta.main) console.log(formatRows(await benchGatewayStart()))
