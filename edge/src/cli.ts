import { parseArgs } from 'node:util'
import { deliveryClasses } from '@penstock/core/reading.ts'
import { openClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { lockFolder } from '@penstock/core/runtime/folder-lock.ts'
import { openLogger } from '@penstock/core/runtime/log.ts'
import { stopWithParent } from '@penstock/core/runtime/parent.ts'
import { type AgentDeps, outboxOptions, startAgent } from './agent.ts'
import { formatSummary, summarise } from './check.ts'
import { loadSiteFile, type SiteFile } from './config/site-file.ts'
import { Outbox } from './uplink/outbox.ts'

const usage = `npm run edge -- --config FILE [options]
  --config FILE     the site file
  --check           checks the site file, says what it means in numbers, and ends
  --clock FILE      takes the time from a file of "npm start"
npm run edge -- outbox status --config FILE
                    what the outbox holds (the edge must be stopped)
npm run edge -- outbox reset --config FILE [--ledger ID]
                    a new epoch for a new gateway: forgets the ledger (or takes ID), keeps every unconfirmed reading`

const options = {
  config: { type: 'string' },
  check: { type: 'boolean', default: false },
  clock: { type: 'string' },
  ledger: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

const stopMs = 4_800

const wrong = (text: string): PenstockError => new PenstockError('config-invalid', { text })

function readArguments() {
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    throw wrong(`${(error as Error).message}; see --help`)
  }
}

function time(file: string | undefined): Pick<AgentDeps, 'clock' | 'scaledClock'> {
  try {
    return { clock: openClock(file).clock, scaledClock: file !== undefined }
  } catch (error) {
    throw new PenstockError('config-missing', { path: file ?? '', cause: (error as Error).message }, { cause: error })
  }
}

async function main(): Promise<void> {
  const { values, positionals } = readArguments()
  if (values.help) return console.log(usage)
  if (values.config === undefined) throw wrong('--config is missing; name a site file, see --help')
  const site = loadSiteFile(values.config)
  const summary = summarise(site)
  if (values.check) return console.log(formatSummary(site, summary))
  const log = openLogger(`edge ${site.edge.id}`)
  const deps: AgentDeps = { ...time(values.clock), ticker: systemTicker, log }
  if (positionals.length > 0) return outbox(positionals, site, deps, values.ledger)
  const agent = await startAgent(site, deps)
  let stopping = false
  const stop = (): void => {
    if (stopping) return
    stopping = true
    systemTicker.after(stopMs, () => process.exit(0))
    agent.close().then(() => process.exit(0), fail)
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  stopWithParent(stop)
  const edge = `${site.edge.group}/${site.edge.id}`
  console.log(JSON.stringify({ event: 'ready', edge, metrics: agent.metricsUrl }))
}

async function outbox(words: readonly string[], site: SiteFile, deps: AgentDeps, ledger?: string): Promise<void> {
  const command = words.join(' ')
  if (command !== 'outbox status' && command !== 'outbox reset') {
    throw wrong(`there is no command "${command}"; there are "outbox status" and "outbox reset"`)
  }
  const lock = await lockFolder(site.data)
  try {
    const opened = await Outbox.open({ ...(await outboxOptions(site, deps)), describe: () => undefined })
    if (command === 'outbox reset') {
      await opened.renew()
      await opened.identity.pin(ledger ?? null)
    }
    console.log(
      JSON.stringify(
        {
          epoch: opened.identity.epoch,
          ledger: opened.identity.ledger,
          hardwareId: opened.identity.hardwareId,
          bytes: opened.bytes,
          classes: Object.fromEntries(
            deliveryClasses.map(name => {
              const { first, cursor, durableEnd, bytes } = opened.of(name)
              return [name, { held: durableEnd - first, unconfirmed: durableEnd - cursor, bytes }]
            }),
          ),
        },
        null,
        2,
      ),
    )
    await opened.close()
  } finally {
    await lock.release()
  }
}

/** 2: what the user wrote or must free, trying again will not help; 1: everything else. */
function fail(error: unknown): void {
  console.error(error instanceof PenstockError ? error.message : error)
  process.exit(error instanceof PenstockError && !error.retryable ? 2 : 1)
}

main().catch(fail)
