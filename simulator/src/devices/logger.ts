import { RegisterBank } from '../modbus/registers.ts'
import { exceptions, registerUnit } from '../modbus/unit.ts'
import { type Instrument, type InstrumentDeps, type MapLine, unknownSetting } from './instrument.ts'

/** Rows that a logger has recorded, row 1 first. */
export interface LoggerRows {
  readonly length: number
  /** seconds since 1970 UTC of row `index` + 1 */
  stamp(index: number): number
  /** counts of the resolution */
  total(index: number): number
}

export interface LoggerOptions {
  readonly rows: LoggerRows
  /** 0: a count is 1 m³, 3: 0.001 m³ */
  readonly resolutionCode: 0 | 3
}

export const ringSize = 64
const rowsAt = 100
const rowLength = 10

const map: readonly MapLine[] = [
  { address: 0, type: 'u32', meaning: 'newest row number (0 = none; rows count from 1)' },
  { address: 2, type: 'u32', meaning: 'oldest row in the ring' },
  { address: 4, type: 'u16', meaning: 'ring size (64)' },
  { address: 5, type: 'u16', meaning: 'resolution code (0 = 1 m3, 3 = 0.001 m3)' },
  { address: 10, type: 'u32', meaning: 'read-up-to, writable with function 16' },
  {
    address: rowsAt,
    type: 'row',
    meaning: '+ 10 × ((row - 1) mod 64): u32 row, u32 seconds since 1970 UTC, u64 total, u16 flags, u16 spare',
  },
]

/**
 * A data logger with a ring of 64 rows, big-endian: functions 3 and 16. Row n + 64 is written only after the reader has
 * said by `read-up-to` that it has row n, so that nothing is overwritten unread, however long the reader is away.
 */
export function logger({ rows, resolutionCode }: LoggerOptions, deps: InstrumentDeps): Instrument {
  const bank = new RegisterBank('ABCD', [
    { start: 0, length: 6 },
    { start: 10, length: 2 },
    { start: rowsAt, length: rowLength * ringSize },
  ])
  let newest = 0
  let readUpTo = 0
  bank.u16(4, ringSize)
  bank.u16(5, resolutionCode)

  function write(row: number): void {
    const at = rowsAt + rowLength * ((row - 1) % ringSize)
    bank.u32(at, row)
    bank.u32(at + 2, rows.stamp(row - 1))
    bank.u64(at + 4, BigInt(rows.total(row - 1)))
    bank.u16(at + 8, 0)
    bank.u16(at + 9, 0)
  }

  function fill(): void {
    const end = Math.min(rows.length, readUpTo + ringSize)
    for (let row = Math.max(newest + 1, end - ringSize + 1); row <= end; row++) write(row)
    newest = Math.max(newest, end)
    bank.u32(0, newest)
    bank.u32(2, newest === 0 ? 0 : Math.max(1, newest - ringSize + 1))
    bank.u32(10, readUpTo)
  }

  function confirm(address: number, values: readonly number[]): number | null {
    const [high, low] = values
    if (address !== 10) return exceptions.illegalAddress
    if (values.length !== 2 || high === undefined || low === undefined) return exceptions.illegalValue
    const row = high * 0x1_0000 + low
    // A reader cannot have read what was never written.
    if (row > newest) return exceptions.illegalValue
    readUpTo = Math.max(readUpTo, row)
    fill()
    return null
  }

  fill()
  return {
    kind: 'logger',
    map,
    unit: registerUnit(bank, { functions: [3, 16], onRead: deps.onRead, onWrite: confirm }),
    total: {
      resolution: resolutionCode === 0 ? '1' : '0.001',
      modulus: 2n ** 64n,
      get counted() {
        return newest === 0 ? 0n : BigInt(rows.total(newest - 1))
      },
      get shown() {
        return newest === 0 ? 0n : BigInt(rows.total(newest - 1))
      },
      covers: (address, count) => {
        if (newest === 0) return false
        const at = rowsAt + rowLength * ((newest - 1) % ringSize)
        return address <= at && address + count >= at + 8
      },
    },
    values: () => ({ newest, readUpTo, rows: rows.length }),
    render: () => undefined,
    set(name, value) {
      if (name !== 'readUpTo') throw unknownSetting('logger', name, ['readUpTo'])
      confirm(10, [Math.floor(Number(value) / 0x1_0000), Number(value) % 0x1_0000])
    },
    save: () => ({ readUpTo }),
    restore(saved) {
      readUpTo = Math.min((saved as { readUpTo: number }).readUpTo, rows.length)
      fill()
    },
  }
}
