import { isLong, until } from './kit/numbers.ts'
import type { Shape } from './kit/raw-edges.ts'
import { limitRule } from './kit/rules.ts'
import { BenchWorld, startLoad, startSubscriber } from './kit/world.ts'
import { formatRows, type Row } from './row.ts'

const shape: Shape = { edges: 200, devices: 1, tagsPerDevice: 50 }

interface Kind {
  readonly perMessage: number
  readonly batchesPerEdge: number
  readonly everyMs: number
  readonly atLeast: number
}

const kinds: readonly Kind[] = [
  { perMessage: 50, batchesPerEdge: isLong ? 6_400 : 320, everyMs: 66, atLeast: 150_000 },
  { perMessage: 1, batchesPerEdge: isLong ? 16_000 : 800, everyMs: 20, atLeast: 10_000 },
]

/** A rule on every tag that is never broken: the alarm engine looks at each reading. */
const rules = limitRule({ tag: '*/*/*', unit: 'm3/h', high: 100_000, low: -100_000 })

/**
 * From MQTT to committed with all consumers caught up: 200 edges through a real broker to the real gateway, in windows of 32
 * batches as edges send them. The ceiling is a subscriber that decodes and confirms the same payloads and keeps nothing.
 */
export async function benchGatewayRoad(): Promise<Row[]> {
  const rows: Row[] = []
  for (const kind of kinds) {
    const ceiling = await bare(kind)
    const measured = await road(kind)
    const what = `gateway, messages of ${kind.perMessage} from ${shape.edges} edges`
    rows.push(
      {
        what: `${what}: MQTT to committed and caught up (${measured.broker})`,
        value: measured.perSecond,
        unit: 'readings/s',
        ceiling: ceiling.perSecond,
        ratio: measured.perSecond / ceiling.perSecond,
        bar: { of: 'value', atLeast: kind.atLeast },
      },
      {
        what: `${what}: per second of the gateway's processor time`,
        value: measured.perCpuSecond,
        unit: 'readings/cpu-s',
        ceiling: ceiling.perCpuSecond,
        ratio: measured.perCpuSecond / ceiling.perCpuSecond,
        bar: { of: 'value', atLeast: kind.atLeast },
      },
      {
        what: `${what}: memory of the gateway`,
        value: measured.rssMiB,
        unit: 'MiB RSS',
        ceiling: null,
        ratio: null,
        bar: null,
      },
    )
  }
  return rows
}

async function road(kind: Kind) {
  const world = BenchWorld.open()
  try {
    const broker = await world.startBroker()
    const gateway = await world.startGateway({ loadEdges: shape.edges, rules })
    const load = world.keep(startLoad())
    await load.call('connect', { port: broker.port, shape })
    await load.call('prepare', { ...kind, batchesPerEdge: kind.batchesPerEdge / 4 })
    await load.call('flood')
    await load.call('prepare', kind)
    await until('the gateway has caught up', 60_000, () => gateway.caughtUp())
    const before = await gateway.metrics()
    const begun = performance.now()
    await load.call('flood')
    await until('the gateway has caught up', 60_000, () => gateway.caughtUp())
    const seconds = (performance.now() - begun) / 1000
    const after = await gateway.metrics()
    const name = 'penstock_ingest_readings_total'
    const readings = after.sum(name) - before.sum(name)
    const wanted = shape.edges * kind.batchesPerEdge * kind.perMessage
    if (readings !== wanted) throw new Error(`${readings} readings were taken instead of ${wanted}`)
    return {
      broker: broker.name,
      perSecond: readings / seconds,
      perCpuSecond: readings / (after.cpuSeconds - before.cpuSeconds),
      rssMiB: after.rssMiB,
    }
  } finally {
    await world.close()
  }
}

async function bare(kind: Kind) {
  const world = BenchWorld.open()
  try {
    const broker = await world.startBroker()
    const subscriber = world.keep(startSubscriber())
    await subscriber.call('listen', broker.port)
    const load = world.keep(startLoad())
    await load.call('connect', { port: broker.port, shape })
    await load.call('prepare', { ...kind, batchesPerEdge: 80 })
    await load.call('flood')
    await load.call('prepare', kind)
    await subscriber.call('begin')
    const { seconds } = await load.call<{ seconds: number }>('flood')
    const { readings, cpuSeconds } = await subscriber.call<{ readings: number; cpuSeconds: number }>('count')
    return { perSecond: readings / seconds, perCpuSecond: readings / cpuSeconds }
  } finally {
    await world.close()
  }
}

if (import.meta.main) console.log(formatRows(await benchGatewayRoad()))
