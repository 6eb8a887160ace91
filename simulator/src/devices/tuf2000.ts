import { RegisterBank } from '../modbus/registers.ts'
import { exceptions, registerUnit } from '../modbus/unit.ts'
import type { Meter } from '../plant/meter.ts'
import { type Instrument, type InstrumentDeps, type MapLine, unknownSetting } from './instrument.ts'

export interface Tuf2000Options {
  readonly meter: Meter
  /** counts of 0.001 m³ after which the total starts again when the multiplier is 3 (× 1 m³) */
  readonly modulus: bigint
  /** register 1439: the total is (integer + fraction) × 10^(n − 3) m³; 0 to 7 */
  readonly multiplier: number
  readonly pipeDiameterMm: number
}

/** Wire address of a register of the manual, which counts from 1. */
const register = (number: number): number => number - 1

const map: readonly MapLine[] = [
  { address: register(1), type: 'f32', meaning: 'flow rate, m3/h' },
  { address: register(5), type: 'f32', meaning: 'velocity, m/s' },
  { address: register(7), type: 'f32', meaning: 'sound speed, m/s' },
  { address: register(9), type: 'u32', meaning: 'positive total, integer part' },
  { address: register(11), type: 'f32', meaning: 'positive total, fraction' },
  { address: register(13), type: 'u32', meaning: 'negative total, integer part' },
  { address: register(15), type: 'f32', meaning: 'negative total, fraction' },
  { address: register(25), type: 'u32', meaning: 'net total, integer part' },
  { address: register(27), type: 'f32', meaning: 'net total, fraction' },
  { address: register(72), type: 'u16', meaning: 'error bits' },
  { address: register(92), type: 'u16', meaning: 'signal quality, %' },
  { address: register(93), type: 'u16', meaning: 'signal strength upstream' },
  { address: register(94), type: 'u16', meaning: 'signal strength downstream' },
  { address: register(1437), type: 'u16', meaning: 'flow unit (0 = m3/h)' },
  { address: register(1438), type: 'u16', meaning: 'total unit (0 = m3), writable' },
  { address: register(1439), type: 'u16', meaning: 'total multiplier n: × 10^(n-3), writable' },
]

const settings = ['errorBits', 'signalQuality', 'multiplier'] as const

/**
 * TUF-2000 ultrasonic flow meter: function 3, and 6 for the unit and multiplier of the total; LONG and REAL4 with the low
 * word first. The manual's register n is wire address n − 1: `01 03 00 00 00 0A C5 CD` reads registers 1 to 10.
 */
export function tuf2000(options: Tuf2000Options, deps: InstrumentDeps): Instrument {
  const { meter, modulus } = options
  const bank = new RegisterBank('CDAB', [
    { start: register(1), length: 36 },
    { start: register(72), length: 1 },
    { start: register(92), length: 3 },
    { start: register(1437), length: 3 },
  ])
  const areaM2 = Math.PI * (options.pipeDiameterMm / 2000) ** 2
  let multiplier = options.multiplier
  let shown = meter.counted % modulus
  let shownFlow = 0
  bank.f32(register(7), 1482)
  bank.u16(register(92), 87)
  bank.u16(register(93), 1420)
  bank.u16(register(94), 1411)
  bank.u16(register(1439), multiplier)

  function writeSetting(address: number, [value]: readonly number[]): number | null {
    if (address !== register(1438) && address !== register(1439)) return exceptions.illegalAddress
    // Units of the total other than m³ are not simulated; the meter refuses them.
    if (value === undefined || value > (address === register(1439) ? 7 : 0)) return exceptions.illegalValue
    bank.u16(address, value)
    if (address === register(1439)) multiplier = value
    return null
  }

  return {
    kind: 'tuf2000',
    map,
    unit: registerUnit(bank, { functions: [3, 6], onRead: deps.onRead, onWrite: writeSetting }),
    total: {
      resolution: '0.001',
      modulus,
      get counted() {
        return meter.counted
      },
      get shown() {
        return shown
      },
      covers: (address, count) => address <= register(9) && address + count > register(12),
    },
    values: () => ({ flow: shownFlow, total: shown.toString(), multiplier }),
    render(now) {
      shownFlow = deps.distortion.apply(meter.flowM3PerHour, now)
      const perUnit = 10n ** BigInt(multiplier)
      shown = meter.counted % modulus
      const integer = Number((shown / perUnit) & 0xffff_ffffn)
      const fraction = deps.distortion.nan ? Number.NaN : Number(shown % perUnit) / Number(perUnit)
      bank.f32(register(1), shownFlow)
      bank.f32(register(5), shownFlow / 3600 / areaM2)
      for (const at of [register(9), register(25)]) {
        bank.u32(at, integer)
        bank.f32(at + 2, fraction)
      }
    },
    set(name, value) {
      if (name === 'errorBits') bank.u16(register(72), Number(value))
      else if (name === 'signalQuality') bank.u16(register(92), Number(value))
      else if (name === 'multiplier') writeSetting(register(1439), [Number(value)])
      else throw unknownSetting('tuf2000', name, settings)
    },
    save: () => ({ multiplier }),
    restore(saved) {
      const value = (saved as { multiplier?: number }).multiplier
      if (value !== undefined) writeSetting(register(1439), [value])
    },
  }
}
