import { litresOf } from '../plant/amounts.ts'
import type { SitePlant } from '../plant/site-plant.ts'
import type { DeviceConfig } from '../scenario-file.ts'
import type { Instrument, InstrumentDeps } from './instrument.ts'
import { levelGeneric } from './level-generic.ts'
import { mfe600c } from './mfe600c.ts'
import { midas } from './midas.ts'
import { type Signal, signals } from './signals.ts'
import { tuf2000 } from './tuf2000.ts'

const dayMs = 86_400_000

/** The instrument of a device of a scenario, reading off its plant. The scenario has been checked. */
export function makeInstrument(device: DeviceConfig, plant: SitePlant, deps: InstrumentDeps): Instrument {
  switch (device.kind) {
    case 'mfe600c':
      return mfe600c(
        {
          meter: part(plant.meters.get(device.id)),
          modulus: litresOf(part(device.meter).modulusM3),
          upperM3PerHour: device.upperM3PerHour,
          lowerM3PerHour: device.lowerM3PerHour,
        },
        deps,
      )
    case 'tuf2000':
      return tuf2000(
        {
          meter: part(plant.meters.get(device.id)),
          modulus: litresOf(part(device.meter).modulusM3),
          multiplier: device.multiplier,
          pipeDiameterMm: device.pipeDiameterMm,
        },
        deps,
      )
    case 'midas': {
      const { detector } = part(plant.detectors.get(device.id))
      return midas({ ...part(device.detector), sensedPpm: () => detector.ppm }, deps)
    }
    case 'level-generic': {
      const tank = part(plant.tanks.get(part(device.tank)))
      return levelGeneric(
        {
          level: () => tank.level,
          temperatureC: now => device.temperatureC + 1.5 * Math.sin((2 * Math.PI * (now % dayMs)) / dayMs),
        },
        deps,
      )
    }
    case 'signals':
      return signals(contactsOf(plant))
  }
}

/** Running contacts of the pumps, fan contacts of the rooms, independent high-high switches of the tanks, in this order. */
function contactsOf(plant: SitePlant): Signal[] {
  return [
    ...[...plant.flows]
      .filter(([, flow]) => flow.drive.kind === 'pump')
      .map(([id, flow]) => ({ name: `${id} running`, state: () => flow.running })),
    ...[...plant.rooms].map(([id, room]) => ({ name: `${id} emergency fan running`, state: () => room.fanRunning })),
    ...[...plant.tanks].map(([id, tank]) => ({ name: `${id} high-high level`, state: () => tank.level >= 0.98 })),
  ]
}

function part<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new TypeError('the scenario was not checked')
  return value
}
