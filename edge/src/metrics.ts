import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sparkplugDeviceId } from '@penstock/core/description.ts'
import { deliveryClasses } from '@penstock/core/reading.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Acquisition } from './acquisition/acquisition.ts'
import type { Uplink, UplinkStatus } from './uplink/uplink.ts'

interface Row {
  readonly name: string
  readonly help: string
  readonly kind: 'counter' | 'gauge'
  readonly labels?: readonly string[]
  /** value, and values of the labels in their order; null values are left out */
  readonly rows: () => readonly (readonly [number | null, ...string[]])[]
}

type ClassStatus = UplinkStatus['classes']['raw']

/** What the edge says of itself in the words of Prometheus; names are part of the interface. */
function rowsOf(uplink: Uplink, acquisition: Acquisition): Row[] {
  const status = () => uplink.status()
  const perClass = (of: (status: ClassStatus) => number | null) => () => {
    const { classes } = status()
    return deliveryClasses.map(name => [of(classes[name]), name] as const)
  }
  const one = (of: (status: UplinkStatus) => number | null) => () => [[of(status())] as const]
  const devices = acquisition.devices.map(({ site, device }) => sparkplugDeviceId(site, device))
  const seconds = (ms: number | null) => (ms === null ? null : ms / 1000)
  const byClass = { labels: ['class'] }
  return [
    {
      ...{ name: 'outbox_batches_total', kind: 'counter', help: 'batches taken into the outbox', ...byClass },
      rows: perClass(({ appended }) => appended),
    },
    {
      ...{ name: 'outbox_lost_batches_total', kind: 'counter', help: 'batches declared as lost', ...byClass },
      rows: perClass(({ lost }) => lost),
    },
    {
      ...{
        name: 'outbox_refused_batches_total',
        kind: 'counter',
        help: 'batches that found the disk failed and memory full',
      },
      ...byClass,
      rows: perClass(({ refused }) => refused),
    },
    {
      ...{
        name: 'outbox_backlog_batches',
        kind: 'gauge',
        help: 'batches that the gateway has not confirmed',
        ...byClass,
      },
      rows: perClass(({ backlog }) => backlog),
    },
    {
      ...{
        name: 'outbox_lag_seconds',
        kind: 'gauge',
        help: 'age of the oldest unconfirmed batch of this run',
        ...byClass,
      },
      rows: perClass(({ lagMs }) => seconds(lagMs)),
    },
    {
      ...{ name: 'window_batches', kind: 'gauge', help: 'batches that may wait for their confirmation', ...byClass },
      rows: perClass(({ window }) => window),
    },
    {
      ...{
        name: 'confirm_delay_seconds',
        kind: 'gauge',
        help: 'smoothed time from sending to confirmation',
        ...byClass,
      },
      rows: perClass(({ confirmDelayMs }) => seconds(confirmDelayMs)),
    },
    {
      ...{ name: 'outbox_bytes', kind: 'gauge', help: 'bytes of the outbox on the disk' },
      rows: one(({ bytes }) => bytes),
    },
    {
      ...{ name: 'outbox_max_bytes', kind: 'gauge', help: 'bytes that the outbox may take' },
      rows: one(({ maxBytes }) => maxBytes),
    },
    {
      ...{ name: 'outbox_disk_failed', kind: 'gauge', help: '1 while the disk does not take what is written' },
      rows: one(({ diskProblem }) => (diskProblem === null ? 0 : 1)),
    },
    {
      ...{ name: 'connected', kind: 'gauge', help: '1 while connected to a broker' },
      rows: one(({ connected }) => Number(connected)),
    },
    {
      ...{ name: 'host_online', kind: 'gauge', help: '1 while the host application says that it is online' },
      rows: one(({ hostOnline }) => Number(hostOnline)),
    },
    {
      ...{
        name: 'problem',
        kind: 'gauge',
        help: '1 for what is wrong with the way to the gateway',
        labels: ['problem'],
      },
      rows: () => {
        const { problem } = status()
        return problem === null ? [] : [[1, problem]]
      },
    },
    {
      ...{ name: 'since_confirmation_seconds', kind: 'gauge', help: 'time since the last confirmation' },
      rows: one(({ sinceConfirmMs }) => seconds(sinceConfirmMs)),
    },
    {
      ...{ name: 'uplink_events_total', kind: 'counter', help: 'what the uplink did', labels: ['event'] },
      rows: () => Object.entries(status().counters).map(([event, count]) => [count, event] as const),
    },
    {
      ...{ name: 'device_up', kind: 'gauge', help: '1 while the device answers', labels: ['device'] },
      rows: () => devices.map(device => [Number(acquisition.isOnline(device)), device] as const),
    },
    {
      ...{
        name: 'device_events_total',
        kind: 'counter',
        help: 'what happened on the wire',
        labels: ['device', 'event'],
      },
      rows: () =>
        devices.flatMap(device =>
          Object.entries(acquisition.diagnosis(device).counters).map(
            ([event, count]) => [count, device, event] as const,
          ),
        ),
    },
  ]
}

export interface MetricsServer {
  /** e.g. `http://127.0.0.1:9464/metrics` */
  readonly url: string
  close(): Promise<void>
}

/** Prometheus endpoint on loopback. @throws PenstockError `port-in-use` */
export async function openMetrics(
  { host, port }: { readonly host: string; readonly port: number },
  uplink: Uplink,
  acquisition: Acquisition,
): Promise<MetricsServer> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const { name, help, kind, labels = [], rows } of rowsOf(uplink, acquisition)) {
    const configuration = { name: `penstock_edge_${name}`, help, labelNames: [...labels], registers: [registry] }
    const metric = kind === 'counter' ? new Counter(configuration) : new Gauge(configuration)
    const fill = () => {
      metric.reset()
      // Without labels a reset leaves a 0, and 0 is not "unknown".
      if (labels.length === 0) metric.remove()
      for (const [value, ...values] of rows()) {
        if (value !== null) metric.inc(Object.fromEntries(labels.map((label, at) => [label, values[at] ?? ''])), value)
      }
    }
    Object.assign(metric, { collect: fill })
  }
  const server = createServer((request, response) => {
    // a web page of elsewhere may not read this through the browser of somebody at this box
    const local = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(request.headers.host ?? '')
    if (!local || request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(local ? 404 : 403).end()
      return
    }
    registry.metrics().then(
      text => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', cause => {
      reject(new PenstockError('port-in-use', { port, host, option: 'metrics.port of the site file' }, { cause }))
    })
    server.listen(port, host, resolve)
  })
  const { port: own } = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${own}/metrics`,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
