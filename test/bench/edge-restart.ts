import { type SeenConfirm, watchConfirmations } from './kit/confirmations.ts'
import { edgeLoad } from './kit/edge-load.ts'
import { ascending, isLong, pause, quantile, until } from './kit/numbers.ts'
import { BenchWorld, startModbusServer } from './kit/world.ts'
import { formatRows, type Row } from './row.ts'

const rounds = isLong ? 30 : 7

/** An edge with 10 000 tags is killed (SIGKILL) and started: until the gateway confirms the first batch of the new process. */
export async function benchEdgeRestart(): Promise<Row[]> {
  const world = BenchWorld.open()
  try {
    const broker = await world.startBroker()
    const port = await world.keep(startModbusServer()).call<number>('listen')
    await world.startGateway({})
    let seen: SeenConfirm[] = []
    world.keep(await watchConfirmations(broker.port, confirm => seen.push(confirm)))
    const site = edgeLoad({ port, devices: 100, blocks: 10, scanMs: 1_000, connections: 10, maxInFlight: 4 })
    let edge = await world.startEdge(site)
    const toConfirmed: number[] = []
    for (let round = 0; round < rounds; round++) {
      await until('batches are confirmed', 30_000, () => advance(seen) !== undefined)
      await pause(1_500)
      await edge.kill()
      seen = []
      const killedAt = Date.now()
      const starting = world.restartEdge()
      await until('the new process is confirmed', 30_000, () => advance(seen) !== undefined, 2)
      toConfirmed.push((advance(seen) ?? Number.NaN) - killedAt)
      edge = await starting
    }
    const sorted = ascending(toConfirmed)
    const row = (name: string, value: number, bar: Row['bar']): Row => ({
      what: `edge with 10 000 tags: start after kill -9 to first batch confirmed, ${name} of ${rounds}`,
      ...{ value, unit: 's', ceiling: null, ratio: null, bar },
    })
    return [
      row('median', quantile(sorted, 0.5) / 1_000, null),
      row('longest', quantile(sorted, 1) / 1_000, { of: 'value', atMost: 3 }),
    ]
  } finally {
    await world.close()
  }
}

/** When the newest session got beyond where it began. */
function advance(seen: readonly SeenConfirm[]): number | undefined {
  const last = seen.at(-1)
  const ofSession = seen.filter(({ session }) => session === last?.session)
  return ofSession.find(({ next }) => next > (ofSession[0]?.next ?? 0))?.at
}

if (import.meta.main) console.log(formatRows(await benchEdgeRestart()))
