import type { Reason } from './reading.ts'

/**
 * Why a device is bad: what its edge last sent, what came back, and the counters since the edge started.
 * Travels as the Sparkplug metric `Properties/Diagnostics` (String, JSON) of the device; never in the durable lane.
 */
export interface DeviceDiagnosis {
  /** e.g. `modbus tcp 127.0.0.1:1502 unit 3` */
  readonly address: string
  /** `open`: the breaker is open, the device is only probed */
  readonly state: 'starting' | 'ok' | 'failing' | 'open'
  /** since when it is in this state, ms UTC */
  readonly since: number
  readonly lastRequest: { readonly at: number; readonly what: string; readonly hex: string } | null
  readonly lastAnswer: { readonly at: number; readonly hex: string } | null
  readonly lastError: { readonly at: number; readonly reason: Reason; readonly text: string } | null
  readonly nextTryAt: number | null
  readonly counters: Readonly<Record<string, number>>
}
