import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import { Closers } from '@penstock/core/runtime/closers.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { lockFolder } from '@penstock/core/runtime/folder-lock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import { mqttConnector } from '@penstock/core/runtime/mqtt-link.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import { openAcquisition } from './acquisition/acquisition.ts'
import { openBoot } from './acquisition/boot.ts'
import type { SiteFile } from './config/site-file.ts'
import { readHardwareId } from './hardware.ts'
import { openMetrics } from './metrics.ts'
import type { OutboxOptions } from './uplink/outbox-options.ts'
import { Uplink } from './uplink/uplink.ts'

export interface AgentDeps {
  readonly clock: Clock
  readonly ticker: Ticker
  readonly log: Logger
  /** The clock is one of demonstrations: whatever date it says is meant. */
  readonly scaledClock: boolean
  /** how much faster than the machine's the clock runs: 1 but for demonstrations */
  readonly timeFactor: number
}

export interface Agent {
  /** address of the Prometheus endpoint, null if there is none */
  readonly metricsUrl: string | null
  /** Intake, flush, goodbye, disconnect; idempotent, at most `stopMs`. */
  close(): Promise<void>
}

const software = 'Penstock edge 0.1.0'
const keepaliveS = 15
const dayMs = 86_400_000
/** for each of the steps that may take time: acquisition and uplink */
const stepMs = 2_000

/** The edge, in the order that a reading takes: drivers and deadband, outbox, broker. */
export async function startAgent(site: SiteFile, deps: AgentDeps): Promise<Agent> {
  const { clock, ticker, log, timeFactor } = deps
  const closers = new Closers(log, ticker)
  const lock = await lockFolder(site.data)
  try {
    const uplink = await Uplink.open({
      ...(await outboxOptions(site, deps)),
      ...{ group: site.edge.group, edge: site.edge.id, host: site.host, ledger: site.ledger, software },
      ...{ username: site.broker.username, servers: site.broker.urls.length },
      connect: mqttConnector({
        ...{ urls: site.broker.urls, username: site.broker.username, protocol: site.broker.protocol },
        password: await secretOf(site.broker.passwordFile),
        ca: await secretOf(site.broker.caFile),
        ...{ keepaliveS, log, ticker },
      }),
    })
    const acquisition = await openAcquisition(site, {
      ...{ clock, ticker, log, timeFactor },
      ...{ sink: uplink, logbook: uplink.logbook },
    })
    closers.add('acquisition', () => acquisition.close())
    closers.add('uplink', () => uplink.close())
    uplink.start(acquisition)
    acquisition.start()
    const metrics = site.metrics && (await openMetrics(site.metrics, uplink, acquisition))
    if (metrics) closers.add('metrics', () => metrics.close())
    closers.add('lock', () => lock.release())
    return { metricsUrl: metrics?.url ?? null, close: () => closers.close(stepMs) }
  } catch (error) {
    await closers.close(stepMs)
    await lock.release()
    throw error
  }
}

/** What the outbox of a site needs, for the agent and for `outbox status` and `outbox reset`. */
export async function outboxOptions(
  site: SiteFile,
  { clock, ticker, log, scaledClock }: AgentDeps,
): Promise<Omit<OutboxOptions, 'describe'>> {
  const { maxBytes, segmentBytes, syncMs, maxAgeDays } = site.outbox
  return {
    ...{ files: nodeFiles, folder: join(site.data, 'outbox'), clock, ticker, log, random: Math.random },
    hardwareId: await readHardwareId(nodeFiles, site.edge.hardwareIdFile, site.data),
    limits: { maxBytes, segmentBytes, syncMs, maxAgeMs: maxAgeDays * dayMs },
    boot: openBoot(ticker),
    trust: scaledClock ? 'trusted' : site.edge.clock === 'none' ? 'none' : 'detect',
  }
}

/** @throws PenstockError `config-missing` */
async function secretOf(path: string | null): Promise<string | null> {
  if (path === null) return null
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    throw new PenstockError('config-missing', { path, cause: (error as NodeJS.ErrnoException).code ?? 'unreadable' })
  }
}
