import { RegisterBank } from '../modbus/registers.ts'
import { registerUnit } from '../modbus/unit.ts'
import { type Instrument, type InstrumentDeps, type MapLine, unknownSetting } from './instrument.ts'

export interface LevelOptions {
  /** 0 to 1 of the height */
  readonly level: () => number
  readonly temperatureC: (now: number) => number
}

const map: readonly MapLine[] = [
  { address: 0, type: 'f32', meaning: 'level, %' },
  { address: 2, type: 'f32', meaning: 'temperature, °C' },
  { address: 4, type: 'u16', meaning: 'status (0 ok, 1 sensor fault)' },
]

/** A level transmitter as many are: function 3, big-endian. With a sensor fault the level stands at 0. */
export function levelGeneric(options: LevelOptions, deps: InstrumentDeps): Instrument {
  const bank = new RegisterBank('ABCD', [{ start: 0, length: 5 }])
  let sensorFault = false
  const shown = { level: 0, temperature: 0, sensorFault: false }
  return {
    kind: 'level-generic',
    map,
    unit: registerUnit(bank, { functions: [3], onRead: deps.onRead }),
    total: null,
    values: () => shown,
    render(now) {
      shown.level = sensorFault ? 0 : deps.distortion.apply(100 * options.level(), now)
      shown.temperature = options.temperatureC(now)
      shown.sensorFault = sensorFault
      bank.f32(0, shown.level)
      bank.f32(2, shown.temperature)
      bank.u16(4, sensorFault ? 1 : 0)
    },
    set(name, value) {
      if (name !== 'sensorFault') throw unknownSetting('level-generic', name, ['sensorFault'])
      sensorFault = value === true
    },
    save: () => undefined,
    restore: () => undefined,
  }
}
