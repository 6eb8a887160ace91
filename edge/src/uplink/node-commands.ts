import { type Confirm, metricNames, parseConfirm } from '@penstock/core/delivery/wire.ts'
import { decodePayload } from '@penstock/core/sparkplug/codec.ts'
import type { Payload } from '@penstock/core/sparkplug/payload.ts'
import { typedValue } from '@penstock/core/sparkplug/values.ts'

/** What an NCMD asks for. */
export type NodeCommand =
  | { readonly kind: 'confirm'; readonly confirm: Confirm; readonly sentAt: number | undefined }
  | { readonly kind: 'rebirth' }
  | { readonly kind: 'limits'; readonly text: string }
  | { readonly kind: 'senseless'; readonly problem: string }

/** Reads an NCMD of anybody, by the names of its metrics (tck-id-payloads-alias-data-cmd-requirement). Never throws. */
export function readCommands(bytes: Uint8Array): NodeCommand[] {
  let payload: Payload
  try {
    payload = decodePayload(bytes)
  } catch (error) {
    return [{ kind: 'senseless', problem: (error as Error).message }]
  }
  return payload.metrics.flatMap((metric): NodeCommand[] => {
    const text = () => {
      const value = typedValue(metric, 'String')
      return typeof value === 'string' ? value : ''
    }
    switch (metric.name) {
      case metricNames.confirm: {
        const { value, problem } = parseConfirm(text())
        if (!value) return [{ kind: 'senseless', problem: `a confirmation ${problem}` }]
        return [{ kind: 'confirm', confirm: value, sentAt: payload.timestamp }]
      }
      case metricNames.rebirth:
        return typedValue(metric, 'Boolean') === true ? [{ kind: 'rebirth' }] : []
      case metricNames.alarmLimits:
        return [{ kind: 'limits', text: text() }]
      default:
        return [{ kind: 'senseless', problem: `this edge has no metric "${metric.name}" that can be written` }]
    }
  })
}
