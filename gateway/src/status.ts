import type { EmbeddedHistorian } from './historian/embedded.ts'
import type { StatusBody } from './http/contract/status.ts'
import type { Ingest } from './ingest/ingest.ts'
import type { Notifier } from './notify/notifier.ts'
import type { WebhookStatus } from './notify/webhook.ts'
import type { Configuration } from './registry/configuration.ts'
import { version } from './version.ts'

export interface StatusParts {
  readonly ingest: Ingest
  readonly historian: EmbeddedHistorian
  readonly configuration: Configuration
  readonly notifier: () => Notifier | null
}

/** Why readings are not taken in and stored, by check; null: fine. */
export function readinessOf({ ingest, historian }: StatusParts): Record<string, string | null> {
  const { host, inbox, consumers } = ingest.status()
  const failing = consumers.filter(consumer => consumer.failing !== null)
  const contested = host.contested ? 'another gateway runs under this host id; nothing is confirmed' : null
  return {
    broker: host.online ? contested : (host.lastProblem ?? 'not connected yet'),
    inbox: inbox.state === 'ok' ? null : `the inbox is ${inbox.state}; nothing is confirmed`,
    consumers: failing.length > 0 ? failing.map(({ name, failing }) => `${name}: ${failing}`).join('; ') : null,
    storage: historian.storageState() === 'full' ? historian.problem() : null,
  }
}

/** A message that was refused for good did not reach anybody; it is told of for so long. */
const refusalShownMs = 24 * 3_600_000

/** What somebody has to look at, in words; `now` in ms UTC. */
export function problemsOf(parts: StatusParts, now: number): string[] {
  const readiness = Object.values(readinessOf(parts)).filter(text => text !== null)
  const storage = parts.historian.problem()
  const config = parts.configuration.status.flatMap(({ what, problem }) =>
    problem === null ? [] : [`${what}: not in effect, the earlier one stays: ${problem}`],
  )
  const webhooks = (parts.notifier()?.status() ?? []).flatMap(({ id, problem, lastRefusal: refusal }) => [
    ...(problem === null ? [] : [`webhook ${id}: ${problem}`]),
    ...(refusal === null || now - refusal.at > refusalShownMs ? [] : [`webhook ${id}: ${refusalText(refusal)}`]),
  ])
  return [...new Set([...readiness, ...(storage === null ? [] : [storage]), ...config, ...webhooks])]
}

const refusalText = ({ at, alarm, problem }: NonNullable<WebhookStatus['lastRefusal']>): string =>
  `refused the message of alarm ${alarm} for good at ${new Date(at).toISOString()}: ${problem}`

export function statusOf(
  { ingest, historian }: StatusParts,
  maxBytes: number,
): Omit<StatusBody, 'now' | 'config' | 'startedAt' | 'timeFactor' | 'problems'> {
  const { host, inbox, consumers } = ingest.status()
  return {
    version,
    hostId: host.hostId,
    ledger: host.ledger,
    broker: { connected: host.online, detail: host.online ? null : host.lastProblem },
    storage: { state: historian.storageState(), historianBytes: historian.bytes, maxBytes },
    inbox: { first: inbox.first, end: inbox.end, bytes: inbox.bytes },
    consumers: consumers.map(({ name, cursor }) => ({ name, cursor })),
  }
}
