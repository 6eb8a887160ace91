import { type SeenConfirm, watchConfirmations } from './kit/confirmations.ts'
import { openCuttable } from './kit/cuttable.ts'
import { edgeLoad } from './kit/edge-load.ts'
import type { Delays } from './kit/load-process.ts'
import { ascending, isLong, pause, quantile, until } from './kit/numbers.ts'
import { BenchWorld, type Edge, startLoad, startModbusServer } from './kit/world.ts'
import { formatRows, type Row } from './row.ts'

const devices = 100
const scanMs = 1_000
/** batches that the edge makes in a second: one a device and scan */
const liveRate = devices / (scanMs / 1_000)
const quietMs = 10_000
const cutMs = isLong ? 600_000 : 60_000

/**
 * An edge with 10 000 tags at 1 s is cut off while 200 others send 20 000 readings/s. How fast it drains when it is back, and
 * what that does to the confirmation delay of the others.
 */
export async function benchBacklog(): Promise<Row[]> {
  const world = BenchWorld.open()
  try {
    const broker = await world.startBroker()
    const modbus = await world.keep(startModbusServer()).call<number>('listen')
    await world.startGateway({ loadEdges: 200 })
    const load = world.keep(startLoad())
    await load.call('connect', { port: broker.port, shape: { edges: 200, devices: 1, tagsPerDevice: 50 } })
    const way = world.keep(await openCuttable(broker.port))
    const seen: SeenConfirm[] = []
    world.keep(await watchConfirmations(broker.port, confirm => seen.push(confirm)))
    const site = edgeLoad({ port: modbus, devices, blocks: 10, scanMs, connections: 10, maxInFlight: 4 })
    const edge = await world.startEdge({ ...site, brokerPort: way.port })
    await until('the edge is confirmed', 30_000, () => seen.some(({ next }) => next > liveRate))
    way.cut()
    await pause(cutMs - quietMs)
    const seconds = Math.ceil(((quietMs + cutMs) / 1_000) * 3)
    const pacing = load.call<Delays>('pace', { readingsPerSecond: 20_000, perMessage: 50, seconds })
    await pause(quietMs)
    const backlog = await backlogOf(edge)
    seen.length = 0
    way.join()
    const joinedAt = Date.now()
    await until('the first confirmation', 90_000, () => seen.length > 0, 2)
    const [hello] = seen
    // what is left then is what live data leave
    await until('the backlog is drained', seconds * 1_000, async () => (await backlogOf(edge)) <= liveRate, 100)
    const drained = seen.at(-1)
    await load.call('stopPacing')
    const { sentAt, delayMs } = await pacing
    if (!hello || !drained) throw new Error('nothing was confirmed')
    const p99 = (from: number, to: number): number =>
      quantile(ascending(Array.from(delayMs).filter((_, index) => isBetween(sentAt[index], from, to))), 0.99)
    const before = p99(joinedAt - quietMs + 2_000, joinedAt)
    const during = p99(hello.at, drained.at)
    const drainSeconds = (drained.at - hello.at) / 1_000
    const rate = (drained.next - hello.next) / drainSeconds
    return [
      {
        what: `backlog of ${backlog} batches drained in ${drainSeconds.toFixed(1)} s, beside 20 000 readings/s of others (${broker.name})`,
        ...{ value: rate, unit: 'batches/s', ceiling: liveRate, ratio: rate / liveRate },
        bar: { of: 'ratio', atLeast: 5 },
      },
      {
        what: 'confirmation delay of the others meanwhile, p99; before as ceiling',
        ...{ value: during, unit: 'ms', ceiling: before, ratio: during / before, bar: { of: 'ratio', atMost: 1.2 } },
      },
    ]
  } finally {
    await world.close()
  }
}

const isBetween = (at: number | undefined, from: number, to: number): boolean =>
  at !== undefined && at >= from && at <= to

const backlogOf = async (edge: Edge): Promise<number> =>
  (await edge.metrics()).sum('penstock_edge_outbox_backlog_batches', 'class="raw"')

if (import.meta.main) console.log(formatRows(await benchBacklog()))
