import type { ChannelConfig } from '../config/site-file.ts'
import type { Driver } from './driver.ts'

/** Every driver by the name that site files use; loaded when a channel asks for it. */
export const drivers = {
  modbus: async () => (await import('./modbus/index.ts')).modbusDriver,
} as const satisfies Record<ChannelConfig['driver'], () => Promise<Driver>>
