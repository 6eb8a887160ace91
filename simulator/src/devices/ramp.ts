import { type RegisterArea, RegisterBank } from '../modbus/registers.ts'
import { registerUnit } from '../modbus/unit.ts'
import { type Instrument, type InstrumentDeps, unknownSetting } from './instrument.ts'

export interface RampOptions {
  readonly blocks: number
  readonly valuesPerBlock: number
  readonly changeMs: number
}

/** Registers from the beginning of one block to that of the next. */
const blockStride = 200

/**
 * A device for load tests: value i of block b is a big-endian float at register 200 b + 2 i, functions 3 and 4; the
 * registers between blocks do not exist. Every value is another one after `changeMs`: turn + 10 b + i.
 */
export function ramp({ blocks, valuesPerBlock, changeMs }: RampOptions, deps: InstrumentDeps): Instrument {
  const areas: RegisterArea[] = []
  for (let block = 0; block < blocks; block++) areas.push({ start: blockStride * block, length: 2 * valuesPerBlock })
  const bank = new RegisterBank('ABCD', areas)
  let rendered = -1
  return {
    kind: 'ramp',
    map: [
      {
        address: 0,
        type: 'f32',
        meaning: `+ ${blockStride} b + 2 i: ${blocks} blocks of ${valuesPerBlock}, changing every ${changeMs} ms`,
      },
    ],
    unit: registerUnit(bank, { functions: [3, 4], onRead: deps.onRead }),
    total: null,
    values: () => ({ turn: rendered }),
    render(now) {
      const turn = Math.floor(now / changeMs) % 1_000_000
      if (turn === rendered) return
      rendered = turn
      for (let block = 0; block < blocks; block++) {
        for (let value = 0; value < valuesPerBlock; value++) {
          bank.f32(blockStride * block + 2 * value, turn + 10 * block + value)
        }
      }
    },
    set: name => {
      throw unknownSetting('ramp', name, [])
    },
    save: () => undefined,
    restore: () => undefined,
  }
}
