import { RegisterBank } from '../modbus/registers.ts'
import { exceptions, registerUnit } from '../modbus/unit.ts'
import { type Instrument, type InstrumentDeps, type MapLine, unknownSetting } from './instrument.ts'

export interface MidasOptions {
  /** what the cell senses, ppm; asked at each step */
  readonly sensedPpm: () => number
  readonly rangePpm: number
  readonly lowPpm: number
  readonly highPpm: number
  /** an alarm bit stays until it is reset */
  readonly latching: boolean
  readonly cellLifeHours: number
}

const map: readonly MapLine[] = [
  { address: 0, type: 'u16', meaning: 'bits: 0-3 state, 4-5 fault, 6 low alarm, 7 high alarm, 11 heartbeat (2 s)' },
  { address: 2, type: 'f32', meaning: 'concentration' },
  { address: 4, type: 'u16', meaning: 'concentration as integer' },
  { address: 5, type: 'u16', meaning: 'fault code (below 30 maintenance "m", else instrument "F")' },
  { address: 6, type: 'u16', meaning: 'low byte: bit of the unit (bit 0 = ppm)' },
  { address: 7, type: 'i16', meaning: 'temperature, °C' },
  { address: 8, type: 'u16', meaning: 'cell life left, h' },
  { address: 9, type: 'u16', meaning: 'heartbeats' },
  { address: 10, type: 'u16', meaning: 'sample flow, cm3/min' },
  { address: 12, type: 'f32', meaning: 'low alarm threshold, ppm' },
  { address: 14, type: 'f32', meaning: 'high alarm threshold, ppm' },
  {
    address: 20,
    type: 'u16',
    meaning: 'command, with 0x3626 in the next: 0x015E reset, 0x025E inhibit, 0x055E end inhibit',
  },
]

const settings = ['faultCode', 'inhibited', 'warmUp', 'temperature', 'cellLifeHours'] as const
const heartbeatMs = 2000
const commandKey = 0x3626

/**
 * Honeywell Midas gas detector: registers 40001 to 40016 at wire addresses 0 to 15, commands at 20 and 21; function 3, and
 * 16 for the commands; floats with the low word first. Thresholds are in ppm. An instrument fault ("F") shows 0.
 */
export function midas(options: MidasOptions, deps: InstrumentDeps): Instrument {
  const bank = new RegisterBank('CDAB', [
    { start: 0, length: 16 },
    { start: 20, length: 2 },
  ])
  const alarm = { low: false, high: false }
  let faultCode = 0
  let inhibited = false
  let warmUp = false
  let resetAsked = false
  let shownPpm = 0
  bank.u16(1, 0x0121)
  bank.u16(6, 1)
  bank.u16(7, 21)
  bank.u16(8, options.cellLifeHours)
  bank.u16(10, 500)
  bank.f32(12, options.lowPpm)
  bank.f32(14, options.highPpm)

  function command(address: number, [code, key]: readonly number[]): number | null {
    if (address !== 20) return exceptions.illegalAddress
    if (key !== commandKey) return exceptions.illegalValue
    if (code === 0x015e) resetAsked = true
    else if (code === 0x025e) inhibited = true
    else if (code === 0x055e) inhibited = false
    else return exceptions.illegalValue
    return null
  }

  return {
    kind: 'midas',
    map,
    unit: registerUnit(bank, { functions: [3, 16], onRead: deps.onRead, onWrite: command }),
    total: null,
    values: () => ({ concentration: shownPpm, low: alarm.low, high: alarm.high, faultCode, inhibited }),
    render(now) {
      const instrumentFault = faultCode >= 30
      const sensed = instrumentFault || warmUp ? 0 : options.sensedPpm()
      const ppm = deps.distortion.apply(Math.min(options.rangePpm, Math.max(0, sensed)), now)
      const keep = options.latching && !resetAsked
      resetAsked = false
      shownPpm = ppm
      // The cell sees the gas whether or not responses are inhibited; inhibiting holds the alarm bits down.
      alarm.low = !inhibited && (ppm >= options.lowPpm || (keep && alarm.low))
      alarm.high = !inhibited && (ppm >= options.highPpm || (keep && alarm.high))
      const beats = Math.floor(now / heartbeatMs)
      const state = warmUp ? 0 : inhibited ? 2 : 1
      const fault = faultCode === 0 ? 0 : instrumentFault ? 2 : 1
      bank.u16(0, state | (fault << 4) | (alarm.low ? 0x40 : 0) | (alarm.high ? 0x80 : 0) | ((beats & 1) << 11))
      bank.f32(2, ppm)
      bank.u16(4, Number.isFinite(ppm) ? Math.round(ppm) : 0)
      bank.u16(5, faultCode)
      bank.u16(9, beats & 0xffff)
    },
    set(name, value) {
      if (name === 'faultCode') faultCode = Number(value)
      else if (name === 'inhibited') inhibited = value === true
      else if (name === 'warmUp') warmUp = value === true
      else if (name === 'temperature') bank.u16(7, Number(value))
      else if (name === 'cellLifeHours') bank.u16(8, Number(value))
      else throw unknownSetting('midas', name, settings)
    },
    save: () => undefined,
    restore: () => undefined,
  }
}
