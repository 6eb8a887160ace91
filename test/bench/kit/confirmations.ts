import { metricNames, parseConfirm } from '@penstock/core/delivery/wire.ts'
import { decodePayload } from '@penstock/core/sparkplug/codec.ts'
import { rawClient } from './mqtt-packets.ts'
import { loadGroup } from './raw-edges.ts'

export interface SeenConfirm {
  readonly session: number
  /** next position of class raw */
  readonly next: number
  /** ms since 1970 */
  readonly at: number
}

/** What the gateway confirms to edge `e1`, as somebody hears it who listens to the same broker. */
export async function watchConfirmations(
  port: number,
  onConfirm: (seen: SeenConfirm) => void,
): Promise<{ stop(): Promise<void> }> {
  const client = await rawClient(port, `watch-${process.pid}`, `spBv1.0/${loadGroup}/NCMD/e1`, (_, payload) => {
    for (const { name, value } of decodePayload(payload).metrics) {
      const confirm = name === metricNames.confirm && typeof value === 'string' ? parseConfirm(value).value : null
      if (confirm) onConfirm({ session: confirm.session, next: confirm.next.raw, at: Date.now() })
    }
  })
  return { stop: async () => client.close() }
}
