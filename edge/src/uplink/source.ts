import type { Acquisition } from '../acquisition/acquisition.ts'

/** What births need of the acquisition. */
export type UplinkSource = Pick<Acquisition, 'devices' | 'current' | 'isOnline' | 'diagnosis' | 'setAlarmLimits'>
