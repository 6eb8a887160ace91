import type { CitySite, Station } from './city-site.ts'
import type { FaultBoard } from './faults.ts'
import { litresOf } from './plant/amounts.ts'
import type { Action } from './scenario-file.ts'

const nothing = (): void => {}

/** Does an action and returns what takes it back. @throws RangeError when it names what is not there */
export function beginAction(action: Action, sites: readonly CitySite[], faults: FaultBoard): () => void {
  const site = (id: string): CitySite =>
    found(
      sites.find(candidate => candidate.site.id === id),
      `site "${id}"`,
    )
  const station = (siteId: string, device: string): Station =>
    found(site(siteId).stations.get(device), `device "${siteId}/${device}"`)
  if (action.leak) {
    const { mgPerSecond } = action.leak
    const room = found(site(action.leak.site).plant.rooms.get(action.leak.room), `room "${action.leak.room}"`)
    room.leakMgPerSecond += mgPerSecond
    return () => {
      room.leakMgPerSecond = Math.max(0, room.leakMgPerSecond - mgPerSecond)
    }
  }
  if (action.pump) {
    const flow = found(site(action.pump.site).plant.flows.get(action.pump.flow), `flow "${action.pump.flow}"`)
    flow.mode = action.pump.mode
    return () => {
      flow.mode = 'auto'
    }
  }
  if (action.demand) {
    const flow = found(site(action.demand.site).plant.flows.get(action.demand.flow), `flow "${action.demand.flow}"`)
    flow.factor = action.demand.factor
    return () => {
      flow.factor = 1
    }
  }
  if (action.level) {
    const tank = found(site(action.level.site).plant.tanks.get(action.level.tank), `tank "${action.level.tank}"`)
    tank.volumeMicro = Math.round(tank.capacityMicro * action.level.level)
    return nothing
  }
  if (action.device) {
    const { setting, value } = action.device
    const { instrument } = station(action.device.site, action.device.device)
    instrument.set(setting, value)
    // Settings rest at 0 or false.
    return () => instrument.set(setting, typeof value === 'boolean' ? false : 0)
  }
  if (action.total) {
    const { device, m3 } = action.total
    found(site(action.total.site).plant.meters.get(device), `meter "${device}"`).reset(litresOf(m3))
    return nothing
  }
  if (action.fault) {
    const id = faults.inject(action.fault)
    return () => void faults.clear(id)
  }
  throw new RangeError('no action given')
}

function found<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new RangeError(`there is no ${what}`)
  return value
}
