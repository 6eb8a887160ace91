import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import { Closers } from '@penstock/core/runtime/closers.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { lockFolder } from '@penstock/core/runtime/folder-lock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import { mqttConnector } from '@penstock/core/runtime/mqtt-link.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import { AlarmService } from './alarms/alarm-service.ts'
import { alarmsView } from './alarms/alarms-view.ts'
import { RuleCheck } from './alarms/rule-check.ts'
import type { GatewayFile } from './config/gateway-file.ts'
import { EmbeddedHistorian } from './historian/embedded.ts'
import { type HttpServer, openHttp } from './http/server.ts'
import { type Ingest, openIngest } from './ingest/ingest.ts'
import { LiveTable } from './live/live-table.ts'
import { openMetrics } from './metrics.ts'
import { Notifier } from './notify/notifier.ts'
import { Configuration } from './registry/configuration.ts'
import { problemsOf, readinessOf, statusOf } from './status.ts'
import { Store } from './store/store.ts'

export interface GatewayDeps {
  readonly clock: Clock
  readonly ticker: Ticker
  readonly log: Logger
  /** 1, or the factor of the scaled clock of a demonstration */
  readonly timeFactor: number
}

export interface Gateway {
  /** address of API and console */
  readonly url: string
  /** an address that signs in once, if the configuration asks for it */
  readonly signIn: string | null
  /** Reads registry, rules and users again. */
  reload(): Promise<unknown>
  /** Stop of delivery protocol, rule 18; idempotent. */
  close(): Promise<void>
}

const keepaliveS = 15
/** for each of the steps that may take time */
const stepMs = 1_500
const consoleFolder = fileURLToPath(new URL('../web/dist', import.meta.url))

/**
 * The gateway, in the order that a reading takes: broker, inbox, consumers in order (historian, alarms), people.
 * @throws PenstockError `data-in-use` | `port-in-use` | `config-invalid` | `config-missing` | `disk-failed` | `data-newer`
 */
export async function startGateway(file: GatewayFile, deps: GatewayDeps): Promise<Gateway> {
  const { clock, ticker, log, timeFactor } = deps
  const folder = file.gateway.data
  const closers = new Closers(log, ticker)
  const opened: { name: string; close: () => Promise<void> }[] = []
  const keep = <T extends { close(): Promise<void> }>(name: string, thing: T): T => {
    opened.unshift({ name, close: () => thing.close() })
    return thing
  }
  const close = (): Promise<void> => {
    for (const { name, close } of opened.splice(0)) closers.add(name, close)
    return closers.close(stepMs)
  }
  const startedAt = clock.now()
  const lock = await lockFolder(folder)
  keep('lock', { close: () => lock.release() })
  try {
    const historianFolder = join(folder, 'historian')
    await mkdir(historianFolder, { recursive: true })
    const store = keep('store', await Store.open(join(folder, 'store.sqlite')))
    const configuration = keep('configuration', await Configuration.open({ file, store, clock, ticker, log }))
    const live = new LiveTable()
    // What the consumers ask of the intake that comes after them; while it opens there is nothing to say yet.
    let intake: Ingest | null = null

    const { rawDays, maxBytes } = file.historian
    const historian = keep(
      'historian',
      EmbeddedHistorian.open({
        inboxShare: () => (intake ? intake.status().inbox.bytes / file.inbox.maxBytes : 0),
        folder: historianFolder,
        rawDays,
        maxBytes,
        clock,
        ticker,
        log,
      }),
    )
    const tagsOf = (edge: string): string[] => {
      const devices = intake?.edges().find(candidate => candidate.edge === edge)?.devices ?? []
      return devices.flatMap(({ device }) => live.tagsOf(edge, device))
    }
    const alarms = keep(
      'alarms',
      await AlarmService.open({ folder: join(folder, 'alarms'), files: nodeFiles, clock, ticker, log, tagsOf }),
    )
    const ingest = keep(
      'ingest',
      await openIngest({
        config: { ...file.gateway, ...file.inbox, folder },
        // A historian that cannot store leaves no room for batches: they stay with their edges.
        files: {
          ...nodeFiles,
          freeBytes: async of => (historian.storageState() === 'full' ? 0 : nodeFiles.freeBytes(of)),
        },
        connect: mqttConnector({
          ...file.broker,
          password: await secretOf(file.broker.passwordFile),
          ca: await secretOf(file.broker.caFile),
          keepaliveS,
          log,
          ticker,
        }),
        consumers: [historian, alarms],
        limits: alarms,
        registry: configuration,
        random: Math.random,
        live,
        clock,
        ticker,
        log,
      }),
    )
    intake = ingest
    alarms.start(ingest.writer)
    await configuration.publish(ingest.writer, alarms.rulesHash)
    configuration.onReload(() => ingest.registryChanged())

    const ruleCheck = new RuleCheck({ rules: () => configuration.rules, tags: () => live.all(clock.now()), ticker })
    let notifier: Notifier | null = null
    let server: HttpServer | null = null
    const parts = { ingest, historian, alarms, configuration, notifier: () => notifier, server: () => server }
    server = keep(
      'http',
      await openHttp({
        http: file.http,
        edges: { list: () => ingest.edges(), adopt: (edge, hardwareId) => ingest.adopt(edge, hardwareId) },
        alarms: alarmsView(alarms),
        status: () => ({
          ...statusOf(parts, maxBytes),
          startedAt,
          timeFactor,
          problems: [...problemsOf(parts, clock.now()), ...ruleCheck.problems()],
        }),
        readiness: () => readinessOf(parts),
        metrics: openMetrics(parts),
        consoleFolder,
        configuration,
        historian,
        store,
        live,
        clock,
        ticker,
        log,
      }),
    )
    notifier = keep(
      'notifier',
      await Notifier.open({
        folder: join(folder, 'notify'),
        files: nodeFiles,
        targets: await Promise.all(
          file.webhooks.map(async ({ id, url, secretFile }) => ({
            id,
            url,
            secret: (await secretOf(secretFile)) ?? '',
          })),
        ),
        names: {
          site: site => configuration.names.site(site)?.name ?? null,
          device: (site, device) => configuration.names.device(site, device)?.name ?? null,
        },
        consoleUrl: file.http.publicUrl ?? server.url,
        random: Math.random,
        alarms,
        clock,
        ticker,
        log,
      }),
    )
    return { url: server.url, signIn: server.signIn, reload: () => configuration.reload(), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function secretOf(path: string | null): Promise<string | null> {
  if (path === null) return null
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    throw new PenstockError('config-missing', { path, cause: (error as NodeJS.ErrnoException).code ?? 'unreadable' })
  }
}
