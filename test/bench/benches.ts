import type { Row } from './row.ts'

/** All benchmarks by name, in the order of a reading: parts alone first, then the whole road in processes of its own. */
export const benches = {
  log: async () => (await import('./log.ts')).benchLog(),
  modbus: async () => (await import('./modbus.ts')).benchModbus(),
  ingest: async () => (await import('./ingest.ts')).benchIngest(),
  historian: async () => (await import('./historian.ts')).benchHistorian(),
  alarms: async () => (await import('./alarms.ts')).benchAlarms(),
  edge: async () => (await import('./edge-whole.ts')).benchEdge(),
  'edge-restart': async () => (await import('./edge-restart.ts')).benchEdgeRestart(),
  gateway: async () => (await import('./gateway-road.ts')).benchGatewayRoad(),
  'gateway-start': async () => (await import('./gateway-start.ts')).benchGatewayStart(),
  confirm: async () => (await import('./confirm-delay.ts')).benchConfirmDelay(),
  backlog: async () => (await import('./backlog.ts')).benchBacklog(),
  births: async () => (await import('./births.ts')).benchBirths(),
  'alarm-road': async () => (await import('./alarm-road.ts')).benchAlarmRoad(),
} satisfies Record<string, () => Promise<readonly Row[]>>

export type BenchName = keyof typeof benches
export const isBench = (name: string): name is BenchName => name in benches
