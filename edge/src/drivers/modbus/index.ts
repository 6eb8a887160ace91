import type { Driver } from '../driver.ts'
import { ModbusChannel } from './channel.ts'

export const modbusDriver: Driver = {
  openChannel: (channel, devices, deps) => new ModbusChannel(channel, devices, deps),
}
