import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { AlarmService } from './alarms/alarm-service.ts'
import type { EmbeddedHistorian } from './historian/embedded.ts'
import type { HttpServer } from './http/server.ts'
import type { Ingest } from './ingest/ingest.ts'
import type { Notifier } from './notify/notifier.ts'
import type { WebhookStatus } from './notify/webhook.ts'

export interface MetricParts {
  readonly ingest: Ingest
  readonly historian: EmbeddedHistorian
  readonly alarms: AlarmService
  readonly notifier: () => Notifier | null
  readonly server: () => HttpServer | null
}

interface Row {
  readonly name: string
  readonly help: string
  readonly kind: 'counter' | 'gauge'
  readonly labels?: readonly string[]
  /** value, then the values of the labels in their order; null values are left out */
  readonly rows: () => readonly (readonly [number | null, ...string[]])[]
}

const storageLevel = { ok: 0, low: 1, full: 2 } as const
const snake = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)

/** What the gateway says of itself in the words of Prometheus; names are part of the interface. */
function rowsOf({ ingest, historian, alarms, notifier, server }: MetricParts): Row[] {
  const one = (of: () => number | null) => () => [[of()] as const]
  const perEdge = (of: (edge: ReturnType<Ingest['edges']>[number]) => number | null) => () =>
    ingest.edges().map(edge => [of(edge), edge.edge] as const)
  const perConsumer = (of: (consumer: ReturnType<Ingest['status']>['consumers'][number]) => number) => () =>
    ingest.status().consumers.map(consumer => [of(consumer), consumer.name] as const)
  const perWebhook = (of: (webhook: WebhookStatus) => number) => () =>
    (notifier()?.status() ?? []).map(webhook => [of(webhook), webhook.id] as const)
  const seconds = (ms: number | null) => (ms === null ? null : ms / 1000)
  const gauge = (name: string, help: string, rows: Row['rows'], ...labels: string[]): Row => ({
    name,
    help,
    kind: 'gauge',
    rows,
    labels,
  })
  const counter = (name: string, help: string, rows: Row['rows'], ...labels: string[]): Row => ({
    name,
    help,
    kind: 'counter',
    rows,
    labels,
  })
  const counters = Object.keys(ingest.status().counters).map(key => {
    const value = () => new Map<string, number>(Object.entries(ingest.status().counters)).get(key) ?? 0
    return counter(`ingest_${snake(key)}_total`, `ingest: ${snake(key).replaceAll('_', ' ')}`, one(value))
  })
  return [
    ...counters,
    gauge(
      'broker_connected',
      '1 while STATE online is published',
      one(() => Number(ingest.status().host.online)),
    ),
    gauge(
      'inbox_bytes',
      'size of the inbox',
      one(() => ingest.status().inbox.bytes),
    ),
    gauge(
      'inbox_end',
      'position that the next entry gets',
      one(() => ingest.status().inbox.end),
    ),
    gauge(
      'inbox_takes_batches',
      '0 while nothing is confirmed',
      one(() => Number(ingest.status().inbox.state === 'ok')),
    ),
    counter(
      'inbox_syncs_total',
      'commits of the inbox',
      one(() => ingest.status().inbox.counters.syncs),
    ),
    counter(
      'inbox_failed_syncs_total',
      'commits that the disk refused',
      one(() => ingest.status().inbox.counters.failedSyncs),
    ),
    counter(
      'inbox_damaged_total',
      'places of the inbox that could not be read',
      one(() => ingest.status().inbox.counters.damaged),
    ),
    counter(
      'inbox_refused_entries_total',
      'entries that found the inbox full or the disk failed',
      () => {
        const { refusedLive, refusedOther } = ingest.status().inbox.counters
        return [[refusedLive, 'live'] as const, [refusedOther, 'other'] as const]
      },
      'entries',
    ),
    gauge(
      'consumer_behind_entries',
      'entries that a consumer has yet to apply',
      perConsumer(({ behind }) => behind),
      'consumer',
    ),
    gauge(
      'consumer_failing',
      '1 while a consumer fails',
      perConsumer(({ failing }) => Number(failing !== null)),
      'consumer',
    ),
    counter(
      'consumer_missed_entries_total',
      'entries that were gone when a consumer came',
      perConsumer(({ missed }) => missed),
      'consumer',
    ),
    gauge(
      'edge_online',
      '1 while the session of an edge lasts',
      perEdge(({ online }) => Number(online)),
      'edge',
    ),
    gauge(
      'edge_skew_seconds',
      'clock of the gateway minus clock of the edge',
      perEdge(({ skewMs }) => seconds(skewMs)),
      'edge',
    ),
    gauge(
      'edge_lag_seconds',
      'age of the newest durable reading when it came',
      perEdge(({ lagMs }) => seconds(lagMs)),
      'edge',
    ),
    counter(
      'edge_lost_batches_total',
      'batches in declared losses',
      perEdge(({ lostBatches }) => lostBatches),
      'edge',
    ),
    gauge(
      'historian_bytes',
      'bytes in use in the historian',
      one(() => historian.bytes),
    ),
    gauge(
      'historian_tail_readings',
      'readings that are in no chunk yet',
      one(() => historian.stats.tailReadings),
    ),
    gauge(
      'historian_tags',
      'tags that the historian knows',
      one(() => historian.stats.tags),
    ),
    gauge(
      'storage_state',
      '0 ok, 1 low, 2 full',
      one(() => storageLevel[historian.storageState()]),
    ),
    gauge(
      'alarms_open',
      'alarms that somebody has to do something about',
      one(() => alarms.open().length),
    ),
    gauge(
      'event_streams',
      'open event streams',
      one(() => server()?.hub.stats.clients ?? 0),
    ),
    counter(
      'event_streams_dropped_total',
      'event streams dropped for being slow',
      one(() => server()?.hub.stats.dropped ?? 0),
    ),
    counter(
      'event_streams_refused_total',
      'event streams refused because there were too many',
      one(() => server()?.hub.stats.refused ?? 0),
    ),
    gauge(
      'webhook_behind_records',
      'journal records a receiver has yet to get',
      perWebhook(({ behind }) => behind),
      'webhook',
    ),
    counter(
      'webhook_delivered_total',
      'messages that a receiver has taken',
      perWebhook(({ delivered }) => delivered),
      'webhook',
    ),
    counter(
      'webhook_refused_total',
      'messages that a receiver refused for good',
      perWebhook(({ refused }) => refused),
      'webhook',
    ),
    counter(
      'webhook_expired_total',
      'messages that were too old to be sent',
      perWebhook(({ expired }) => expired),
      'webhook',
    ),
    gauge(
      'webhook_failures',
      'tries in a row that failed',
      perWebhook(({ failures }) => failures),
      'webhook',
    ),
  ]
}

/** Text for Prometheus, made at each request. */
export function openMetrics(parts: MetricParts): () => Promise<string> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const { name, help, kind, labels = [], rows } of rowsOf(parts)) {
    const options = { name: `penstock_${name}`, help, labelNames: [...labels], registers: [registry] }
    const named = (values: readonly string[]) =>
      Object.fromEntries(labels.map((label, index) => [label, values[index] ?? '']))
    if (kind === 'gauge') {
      new Gauge({
        ...options,
        collect() {
          this.reset()
          // Without labels a reset leaves a 0, and 0 is not "unknown".
          if (labels.length === 0) this.remove()
          for (const [value, ...values] of rows()) if (value !== null) this.set(named(values), value)
        },
      })
    } else {
      new Counter({
        ...options,
        collect() {
          this.reset()
          if (labels.length === 0) this.remove()
          for (const [value, ...values] of rows()) if (value !== null) this.inc(named(values), value)
        },
      })
    }
  }
  return () => registry.metrics()
}
