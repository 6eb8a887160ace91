import { exceptions, type Unit } from '../modbus/unit.ts'
import type { Instrument, MapLine } from './instrument.ts'
import { unknownSetting } from './instrument.ts'

export interface Signal {
  readonly name: string
  readonly state: () => boolean
}

/**
 * Contacts of a cabinet: discrete inputs (function 2) in the order of `signals`; coils (function 1) show the same, as
 * controllers do that have no inputs of their own. Input register 0 (function 4) holds the first 16 as bits.
 */
export function signals(contacts: readonly Signal[]): Instrument {
  const map: MapLine[] = contacts.map(({ name }, address) => ({ address, type: 'bool', meaning: name }))
  const word = (): number => contacts.slice(0, 16).reduce((sum, { state }, bit) => sum | (state() ? 1 << bit : 0), 0)
  const unit: Unit = {
    functions: new Set([1, 2, 4]),
    readWords(_, address, count, into, at) {
      if (address !== 0 || count !== 1) return false
      into.writeUInt16BE(word(), at)
      return true
    },
    readBits(_, address, count) {
      if (address + count > contacts.length) return null
      return contacts.slice(address, address + count).map(({ state }) => state())
    },
    writeWords: () => exceptions.illegalAddress,
  }
  return {
    kind: 'signals',
    map,
    unit,
    total: null,
    values: () => Object.fromEntries(contacts.map(({ name, state }) => [name, state()])),
    render: () => undefined,
    set: name => {
      throw unknownSetting('signals', name, [])
    },
    save: () => undefined,
    restore: () => undefined,
  }
}
