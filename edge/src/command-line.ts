import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { lockFolder } from '@penstock/core/runtime/folder-lock.ts'
import { openLogger } from '@penstock/core/runtime/log.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import { leastPollMs } from './acquisition/devices.ts'
import { type Agent, type AgentDeps, outboxOptions, startAgent } from './agent.ts'
import { formatSummary, summarise } from './check.ts'
import { loadSiteFile, type SiteFile } from './config/site-file.ts'
import { Outbox } from './uplink/outbox.ts'
import { readOutboxStatus } from './uplink/outbox-status.ts'

const usage = `npm run edge -- --config FILE [options]
  --config FILE     the site file
  --check           checks the site file, says what it means in numbers, and ends
  --clock FILE      takes the time from a file of "npm start"
npm run edge -- outbox status --config FILE
                    what the outbox holds; only reads, also while the edge runs
npm run edge -- outbox reset --config FILE [--ledger ID]
                    a new epoch for a new gateway (the edge must be stopped): forgets the ledger (or takes ID), keeps every unconfirmed reading`

const options = {
  config: { type: 'string' },
  check: { type: 'boolean', default: false },
  clock: { type: 'string' },
  ledger: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

const wrong = (text: string): PenstockError => new PenstockError('config-invalid', { text })

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    throw wrong(`${(error as Error).message}; see --help`)
  }
}

function time(file: string | undefined): Pick<AgentDeps, 'clock' | 'scaledClock' | 'timeFactor'> {
  try {
    const { clock, factor } = openClock(file)
    return { clock, scaledClock: file !== undefined, timeFactor: factor }
  } catch (error) {
    throw new PenstockError('config-missing', { path: file ?? '', cause: (error as Error).message }, { cause: error })
  }
}

/**
 * Does what the arguments ask for. Returns the running agent, or null where there is nothing to run.
 * @throws PenstockError whose message says what to write instead
 */
export async function command(args: readonly string[], print: (text: string) => void): Promise<Agent | null> {
  const { values, positionals } = readArguments(args)
  if (values.help) {
    print(usage)
    return null
  }
  if (values.config === undefined) throw wrong('--config is missing; name a site file, see --help')
  const site = loadSiteFile(values.config)
  const summary = summarise(site)
  if (values.check) {
    print(formatSummary(site, summary))
    return null
  }
  const log = openLogger(`edge ${site.edge.id}`)
  const deps: AgentDeps = { ...time(values.clock), ticker: systemTicker, log }
  if (positionals.length > 0) {
    print(await outbox(positionals, site, deps, values.ledger))
    return null
  }
  const least = Math.round(deps.timeFactor * leastPollMs)
  if (deps.timeFactor > 1)
    log.info({ timeFactor: deps.timeFactor }, `scan intervals are at least ${least} ms of this clock`)
  const agent = await startAgent(site, deps)
  print(JSON.stringify({ event: 'ready', edge: `${site.edge.group}/${site.edge.id}`, metrics: agent.metricsUrl }))
  return agent
}

/** What `outbox status` and `outbox reset` say, as JSON. */
async function outbox(words: readonly string[], site: SiteFile, deps: AgentDeps, ledger?: string): Promise<string> {
  const name = words.join(' ')
  if (name !== 'outbox status' && name !== 'outbox reset') {
    throw wrong(`there is no command "${name}"; there are "outbox status" and "outbox reset"`)
  }
  if (name === 'outbox reset') await renew(site, deps, ledger)
  const folder = join(site.data, 'outbox')
  const status = await readOutboxStatus(nodeFiles, folder)
  if (!status) throw wrong(`there is no outbox in ${folder}: no edge has run with this data folder`)
  return JSON.stringify(status, null, 2)
}

async function renew(site: SiteFile, deps: AgentDeps, ledger: string | undefined): Promise<void> {
  const lock = await lockFolder(site.data)
  try {
    const opened = await Outbox.open({ ...(await outboxOptions(site, deps)), describe: () => undefined })
    try {
      await opened.renew()
      await opened.identity.pin(ledger ?? null)
    } finally {
      await opened.close()
    }
  } finally {
    await lock.release()
  }
}

/** 2: what the user wrote or must free, trying again will not help; 1: everything else. */
export const exitCodeOf = (error: unknown): number => (error instanceof PenstockError && !error.retryable ? 2 : 1)
