import type { RegisterBank } from './registers.ts'

/** Exception codes of the Modbus application protocol, section 7. */
export const exceptions = {
  illegalFunction: 1,
  illegalAddress: 2,
  illegalValue: 3,
  deviceFailure: 4,
  busy: 6,
  targetSilent: 0x0b,
} as const

export type WordTable = 'holding' | 'input'
export type BitTable = 'coil' | 'discrete'

/** A device as the Modbus server sees it. The server checks quantities and lengths, the unit knows its addresses. */
export interface Unit {
  /** function codes it knows; others get exception 1 */
  readonly functions: ReadonlySet<number>
  /** Writes `count` registers into `into` from byte `at`; false: illegal address. */
  readWords(table: WordTable, address: number, count: number, into: Buffer, at: number): boolean
  /** null: illegal address */
  readBits(table: BitTable, address: number, count: number): readonly boolean[] | null
  /** Takes registers written by function 6 or 16; an exception code when it refuses, else null. */
  writeWords(address: number, values: readonly number[]): number | null
}

export interface UnitOptions {
  readonly functions: readonly number[]
  /** what was read; called after each successful read of registers */
  readonly onRead?: (address: number, count: number) => void
  readonly onWrite?: (address: number, values: readonly number[]) => number | null
}

/** A unit of registers alone; function 4, where it is known, shows the same registers as function 3. */
export function registerUnit(bank: RegisterBank, options: UnitOptions): Unit {
  return {
    functions: new Set(options.functions),
    readWords(_, address, count, into, at) {
      if (!bank.copy(address, count, into, at)) return false
      options.onRead?.(address, count)
      return true
    },
    readBits: () => null,
    writeWords: (address, values) =>
      options.onWrite?.(address, values) ?? (options.onWrite ? null : exceptions.illegalAddress),
  }
}
