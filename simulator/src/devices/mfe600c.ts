import { RegisterBank } from '../modbus/registers.ts'
import { registerUnit } from '../modbus/unit.ts'
import type { Meter } from '../plant/meter.ts'
import { type Instrument, type InstrumentDeps, type MapLine, unknownSetting } from './instrument.ts'

export interface Mfe600cOptions {
  readonly meter: Meter
  /** counts of 0.001 m³ after which the total starts again */
  readonly modulus: bigint
  /** alarms of the converter's own, m³/h */
  readonly upperM3PerHour: number
  readonly lowerM3PerHour: number
}

const map: readonly MapLine[] = [
  { address: 0x00, type: 'f32', meaning: 'flow rate' },
  { address: 0x02, type: 'u16', meaning: 'flow unit (5 = m3/h)' },
  { address: 0x03, type: 'u32', meaning: 'forward total, integer part' },
  { address: 0x05, type: 'f32', meaning: 'forward total, fraction' },
  { address: 0x07, type: 'u16', meaning: 'forward total unit (1 = m3)' },
  { address: 0x08, type: 'u32', meaning: 'reverse total, integer part' },
  { address: 0x0a, type: 'f32', meaning: 'reverse total, fraction' },
  { address: 0x0c, type: 'u16', meaning: 'reverse total unit (1 = m3)' },
  { address: 0x0d, type: 'u16', meaning: 'excitation alarm' },
  { address: 0x0e, type: 'u16', meaning: 'electrode alarm' },
  { address: 0x0f, type: 'u16', meaning: 'empty pipe alarm' },
  { address: 0x10, type: 'u16', meaning: 'upper limit alarm' },
  { address: 0x11, type: 'u16', meaning: 'lower limit alarm' },
]

const settings = ['excitationAlarm', 'electrodeAlarm', 'emptyPipe'] as const
type Setting = (typeof settings)[number]

/**
 * Microsensor MFE600C electromagnetic flow meter: functions 3 and 4 show the same registers, big-endian throughout
 * (manual, tables of the Modbus chapter). Flow in m³/h, totals in m³ as integer part and fraction.
 */
export function mfe600c(
  { meter, modulus, upperM3PerHour, lowerM3PerHour }: Mfe600cOptions,
  deps: InstrumentDeps,
): Instrument {
  const bank = new RegisterBank('ABCD', [{ start: 0, length: 0x12 }])
  const alarms: Record<Setting, boolean> = { excitationAlarm: false, electrodeAlarm: false, emptyPipe: false }
  let shown = meter.counted % modulus
  let shownFlow = 0
  bank.u16(0x02, 5)
  bank.u16(0x07, 1)
  bank.u16(0x0c, 1)
  return {
    kind: 'mfe600c',
    map,
    unit: registerUnit(bank, { functions: [3, 4], onRead: deps.onRead }),
    total: {
      resolution: '0.001',
      modulus,
      get counted() {
        return meter.counted
      },
      get shown() {
        return shown
      },
      covers: (address, count) => address <= 0x03 && address + count >= 0x07,
    },
    values: () => ({ flow: shownFlow, total: shown.toString(), 'empty-pipe': alarms.emptyPipe }),
    render(now) {
      // With an empty pipe the electrodes see noise: the flow is a finite number that means nothing.
      const flow = alarms.emptyPipe ? upperM3PerHour * 0.37 : meter.flowM3PerHour
      shown = meter.counted % modulus
      shownFlow = deps.distortion.apply(flow, now)
      bank.f32(0x00, shownFlow)
      bank.u32(0x03, Number(shown / 1000n))
      bank.f32(0x05, deps.distortion.nan ? Number.NaN : Number(shown % 1000n) / 1000)
      bank.u16(0x0d, alarms.excitationAlarm ? 1 : 0)
      bank.u16(0x0e, alarms.electrodeAlarm ? 1 : 0)
      bank.u16(0x0f, alarms.emptyPipe ? 1 : 0)
      bank.u16(0x10, flow > upperM3PerHour ? 1 : 0)
      bank.u16(0x11, flow < lowerM3PerHour ? 1 : 0)
    },
    set(name, value) {
      const known = settings.find(setting => setting === name)
      if (!known) throw unknownSetting('mfe600c', name, settings)
      alarms[known] = value === true
    },
    save: () => undefined,
    restore: () => undefined,
  }
}
