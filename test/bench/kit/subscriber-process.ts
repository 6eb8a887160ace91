import { decodeBatchHead, formatConfirm, metricNames } from '@penstock/core/delivery/wire.ts'
import { systemTicker } from '@penstock/core/runtime/clock.ts'
import type { Link } from '@penstock/core/runtime/link.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { mqttConnector } from '@penstock/core/runtime/mqtt-link.ts'
import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import { birthMetric, typedValue } from '@penstock/core/sparkplug/values.ts'
import { serve } from './role.ts'

/** The ceiling: takes the same payloads from the same broker, decodes them, confirms every 16th, and keeps nothing. */

const perConfirmation = 16

interface Edge {
  readonly epoch: string
  readonly session: number
  next: number
}

let readings = 0
let bytes = 0
let cpu = process.cpuUsage()

async function listen(port: number): Promise<void> {
  const edges = new Map<string, Edge>()
  let link: Link | undefined
  const confirm = (topic: string, { epoch, session, next }: Edge): void => {
    const value = formatConfirm({
      ...{ host: 'bench', ledger: 'bench', epoch, session, resend: [] },
      next: { alarm: 0, total: 0, raw: next },
      tail: { alarm: null, total: null, raw: null },
    })
    const at = { timestamp: Date.now() }
    const metrics = [birthMetric('String', value, { name: metricNames.confirm, ...at })]
    link?.publish(topic, encodePayload({ ...at, metrics }), { qos: 0, retain: false })
  }
  link = await mqttConnector({
    ...{ urls: [`mqtt://127.0.0.1:${port}`], username: null, password: null, ca: null, protocol: 'auto' },
    ...{ keepaliveS: 15, log: silentLogger, ticker: systemTicker },
  })({
    clientId: 'bench-subscriber',
    will: { topic: 'spBv1.0/bench', payload: new Uint8Array(), qos: 1, retain: false },
    signal: new AbortController().signal,
    onMessage: (topic, payload) => {
      const [, group, verb, name] = topic.split('/')
      const decoded = decodePayload(payload)
      const commands = `spBv1.0/${group}/NCMD/${name}`
      if (verb === 'NBIRTH') {
        const text = (of: string) => decoded.metrics.find(metric => metric.name === of)
        const session = text(metricNames.session)
        const edge = {
          epoch: String(text(metricNames.epoch)?.value),
          session: Number(session && typedValue(session, 'Int64')),
          next: 0,
        }
        edges.set(`${name}`, edge)
        confirm(commands, edge)
      }
      const edge = edges.get(`${name}`)
      if (verb !== 'DDATA' || !edge || !decoded.body) return
      const { value: head } = decodeBatchHead(decoded.body)
      if (head?.pos !== edge.next) throw new Error(`${name}: ${head?.pos} instead of ${edge.next}`)
      readings += decoded.metrics.length
      bytes += payload.length
      if (++edge.next % perConfirmation === 0) confirm(commands, edge)
    },
  })
  await link.subscribe(['spBv1.0/+/NBIRTH/#', 'spBv1.0/+/DBIRTH/#', 'spBv1.0/+/DDATA/#'], 0)
}

serve({
  listen,
  begin: () => {
    readings = 0
    bytes = 0
    cpu = process.cpuUsage()
  },
  count: () => {
    const { user, system } = process.cpuUsage(cpu)
    return { readings, bytes, cpuSeconds: (user + system) / 1e6 }
  },
})
