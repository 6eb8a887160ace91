import { parseArgs } from 'node:util'
import { loadRuleFile } from '@penstock/core/alarms/rule-file.ts'
import { openClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { openLogger } from '@penstock/core/runtime/log.ts'
import { stopWithParent } from '@penstock/core/runtime/parent.ts'
import { type GatewayFile, loadGatewayFile } from './config/gateway-file.ts'
import { loadRegistryFile } from './config/registry-file.ts'
import { loadUsersFile } from './config/users-file.ts'

const usage = `npm run gateway -- --config FILE [options]
  --config FILE     the gateway file
  --check           checks it with its registry, rules and users, and ends
  --clock FILE      takes the time from a file of "npm start"
npm run gateway -- users add ID --role ROLE [--name NAME]
                    asks for a password and prints an entry for users.yaml
npm run gateway -- users passwd
                    asks for a password and prints its hash
npm run gateway -- users token ID --role ROLE
                    makes a token for a program and prints it with its entry`

const options = {
  config: { type: 'string' },
  check: { type: 'boolean', default: false },
  clock: { type: 'string' },
  role: { type: 'string' },
  name: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

const stopMs = 4_800

// What the program makes is nobody else's: folders 0700, files 0600, also those that SQLite makes.
process.umask(0o077)

const wrong = (text: string): PenstockError => new PenstockError('config-invalid', { text })

function readArguments() {
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    throw wrong(`${(error as Error).message}; see --help`)
  }
}

async function main(): Promise<void> {
  const { values, positionals } = readArguments()
  if (values.help) return console.log(usage)
  if (positionals[0] === 'users') {
    const { usersCommand } = await import('./users-cli.ts')
    return usersCommand(positionals.slice(1), values)
  }
  if (positionals.length > 0) throw wrong(`there is no command "${positionals.join(' ')}"; see --help`)
  if (values.config === undefined) throw wrong('--config is missing; name a gateway file, see --help')
  const file = loadGatewayFile(values.config)
  if (values.check) return check(file)
  await run(file, values.clock)
}

/** All problems of all files at once. */
function check(file: GatewayFile): void {
  const loads = [
    () => loadRegistryFile(file.registry),
    () => loadUsersFile(file.users),
    ...file.rules.map(path => () => {
      for (const { message } of loadRuleFile(path).warnings) console.log(`${path}: ${message}`)
    }),
  ]
  const problems = loads.flatMap(load => {
    try {
      load()
      return []
    } catch (error) {
      if (!(error instanceof PenstockError)) throw error
      return [error.message]
    }
  })
  if (problems.length > 0) throw wrong(problems.join('\n'))
  const { hostId, groups, data } = file.gateway
  console.log(`host ${hostId}, groups ${groups.join(', ')}, data in ${data}: no problems`)
}

async function run(file: GatewayFile, clockFile: string | undefined): Promise<void> {
  const log = openLogger('gateway')
  // Only now: checks and small commands need not load servers and databases.
  const { startGateway } = await import('./gateway.ts')
  const { clock, factor } = time(clockFile)
  const gateway = await startGateway(file, { clock, ticker: systemTicker, log, timeFactor: factor })
  let stopping = false
  const stop = (): void => {
    if (stopping) return
    stopping = true
    systemTicker.after(stopMs, () => process.exit(0))
    gateway.close().then(() => process.exit(0), fail)
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  process.on('SIGHUP', () => {
    gateway.reload().catch(error => log.error({ err: error }, 'reloading failed'))
  })
  stopWithParent(stop)
  const { url, signIn } = gateway
  console.log(JSON.stringify(signIn === null ? { event: 'ready', url } : { event: 'ready', url, signIn }))
}

function time(file: string | undefined): ReturnType<typeof openClock> {
  try {
    return openClock(file)
  } catch (error) {
    throw new PenstockError('config-missing', { path: file ?? '', cause: (error as Error).message }, { cause: error })
  }
}

/** 2: what the user wrote or must free, trying again will not help; 1: everything else. */
function fail(error: unknown): void {
  console.error(error instanceof PenstockError ? error.message : error)
  process.exit(error instanceof PenstockError && !error.retryable ? 2 : 1)
}

main().catch(fail)
