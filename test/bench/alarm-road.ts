import { edgeLoad } from './kit/edge-load.ts'
import { readAlarmEvents } from './kit/events.ts'
import { ascending, isLong, pause, quantile, until } from './kit/numbers.ts'
import { limitRule } from './kit/rules.ts'
import { BenchWorld, startLoad, startModbusServer } from './kit/world.ts'
import { formatRows, type Row } from './row.ts'

const scanMs = 100
const flips = isLong ? 400 : 40
const quiet = 10
const leak = 1_000

/**
 * A register of an instrument changes; how long until the last byte of the alarm event has arrived at a client of the event
 * stream, while 200 other edges send 20 000 readings/s. The instrument is read every 100 ms, so that the bar is 250 + 100 ms.
 */
export async function benchAlarmRoad(): Promise<Row[]> {
  const world = BenchWorld.open()
  try {
    const broker = await world.startBroker()
    const modbus = world.keep(startModbusServer())
    const port = await modbus.call<number>('listen')
    await modbus.call('set', quiet)
    const rules = limitRule({ tag: 'bench/d0/t0', unit: 'm3/h', high: 100 })
    const gateway = await world.startGateway({ loadEdges: 200, rules })
    await world.startEdge(edgeLoad({ port, devices: 1, blocks: 1, scanMs, connections: 1, maxInFlight: 1 }))
    const load = world.keep(startLoad())
    await load.call('connect', { port: broker.port, shape: { edges: 200, devices: 1, tagsPerDevice: 50 } })
    const pacing = load.call('pace', { readingsPerSecond: 20_000, perMessage: 50, seconds: flips * 3 })
    let wanted = false
    let arrived: number | undefined
    const onAlarms = (data: string, at: number): void => {
      if (data.includes('"source":"bench/d0/t0"') && data.includes(`"active":${wanted}`)) arrived ??= at
    }
    world.keep(await readAlarmEvents(gateway.url, gateway.token, onAlarms))
    await pause(8_000)
    const delays: number[] = []
    for (let flip = 0; flip < flips; flip++) {
      // anywhere between two scans
      await pause(500 + Math.random() * scanMs)
      wanted = !wanted
      arrived = undefined
      const setAt = await modbus.call<number>('set', wanted ? leak : quiet)
      await until(`the alarm is ${wanted ? 'raised' : 'over'}`, 20_000, () => arrived !== undefined, 5)
      delays.push((arrived ?? Number.NaN) - setAt)
    }
    await load.call('stopPacing')
    await pacing
    const sorted = ascending(delays)
    const row = (name: string, value: number, bar: Row['bar']): Row => ({
      what: `register changes to alarm event at a client, scan 100 ms, beside 20 000 readings/s, ${name} (${broker.name})`,
      ...{ value, unit: 'ms', ceiling: null, ratio: null, bar },
    })
    return [
      row('p50', quantile(sorted, 0.5), null),
      row('p99', quantile(sorted, 0.99), { of: 'value', atMost: 250 + scanMs }),
    ]
  } finally {
    await world.close()
  }
}

if (import.meta.main) console.log(formatRows(await benchAlarmRoad()))
