import { RegisterBank } from '../modbus/registers.ts'
import { registerUnit } from '../modbus/unit.ts'
import { type Instrument, type InstrumentDeps, unknownSetting } from './instrument.ts'

/** A device for load tests: `values` floats, big-endian, holding register 2n, each another one every `changeMs`. */
export function ramp(values: number, changeMs: number, deps: InstrumentDeps): Instrument {
  const bank = new RegisterBank('ABCD', [{ start: 0, length: 2 * values }])
  let rendered = -1
  return {
    kind: 'ramp',
    map: [{ address: 0, type: 'f32', meaning: `${values} values, all changing every ${changeMs} ms` }],
    unit: registerUnit(bank, { functions: [3, 4], onRead: deps.onRead }),
    total: null,
    values: () => ({}),
    render(now) {
      const turn = Math.floor(now / changeMs) % 10_000
      if (turn === rendered) return
      rendered = turn
      for (let value = 0; value < values; value++) bank.f32(2 * value, turn + value)
    },
    set: name => {
      throw unknownSetting('ramp', name, [])
    },
    save: () => undefined,
    restore: () => undefined,
  }
}
