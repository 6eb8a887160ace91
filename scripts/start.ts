import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { scaledClock, startScaledTime, systemClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { lockFolder } from '@penstock/core/runtime/folder-lock.ts'
import { logLevel } from '@penstock/core/runtime/log.ts'
import { type Broker, type BrokerUser, openBroker } from './broker.ts'
import { Part } from './part.ts'

// `npm start`: a small piece of the sample city on this machine: simulator, broker, two edges, gateway. What is killed comes back.

const usage = `npm start -- [options]
  --port N        port of the page and the API (8080)
  --data FOLDER   where everything is kept (./data)
  --scenario NAME chlorine-leak, calm-day, tank-overfill, meter-comm-loss, totalizer-rollover (chlorine-leak)
  --speed N       1 to 60: how fast time passes (1)
  --broker-port N port of the MQTT broker (a free one)
  --seed N        seed of the simulator (1)`

const sites = ['waterworks', 'thermal', 'printing', 'cold-store'] as const
const edges = [
  { group: '320706', id: 'e01' },
  { group: '320707', id: 'e02' },
] as const

interface Options {
  readonly port: number
  readonly data: string
  readonly scenario: string
  readonly speed: number
  readonly brokerPort: number
  readonly seed: number
}

const wrong = (text: string): PenstockError => new PenstockError('config-invalid', { text })

const known = {
  port: { type: 'string', default: '8080' },
  data: { type: 'string', default: 'data' },
  scenario: { type: 'string', default: 'chlorine-leak' },
  speed: { type: 'string', default: '1' },
  'broker-port': { type: 'string', default: '0' },
  seed: { type: 'string', default: '1' },
  help: { type: 'boolean', default: false },
} as const

function parse() {
  try {
    return parseArgs({ options: known })
  } catch (error) {
    throw wrong(`${(error as Error).message}; see --help`)
  }
}

function readOptions(): Options {
  const { values } = parse()
  if (values.help) {
    console.log(usage)
    process.exit(0)
  }
  const number = (name: 'port' | 'speed' | 'broker-port' | 'seed', least: number, most: number) => {
    const value = Number(values[name])
    if (!Number.isFinite(value) || value < least || value > most) {
      throw wrong(`--${name} is "${values[name]}"; write a number from ${least} to ${most}`)
    }
    return value
  }
  return {
    port: number('port', 0, 65535),
    data: resolve(values.data),
    scenario: values.scenario,
    speed: number('speed', 1, 60),
    brokerPort: number('broker-port', 0, 65535),
    seed: number('seed', 0, 2 ** 31),
  }
}

/** A secret of the data folder, made at the first start; readable by its owner alone. */
function secret(folder: string, name: string, suffix: string): string {
  const path = join(folder, `${name}.${suffix}`)
  if (!existsSync(path)) writeFileSync(path, randomBytes(24).toString('base64url'), { mode: 0o600 })
  return readFileSync(path, 'utf8').trim()
}

/** Free loopback ports, so that a demonstration never meets another program's. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(
    servers.map(
      server =>
        new Promise<number>((done, failed) => {
          server.once('error', failed)
          server.listen(0, '127.0.0.1', () => {
            const address = server.address()
            done(typeof address === 'object' && address ? address.port : 0)
          })
        }),
    ),
  )
  await Promise.all(servers.map(server => new Promise(done => server.close(done))))
  return ports
}

async function portIsFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise(done => {
    server.once('error', () => done(false))
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)))
  })
}

/** The city's time stands still while it is stopped: it is saved every second and goes on from there. */
function cityTime(data: string, speed: number): { file: string | null; save: () => void } {
  const savedPath = join(data, 'time.json')
  const saved = existsSync(savedPath) ? (JSON.parse(readFileSync(savedPath, 'utf8')) as { now: number }).now : null
  if (speed === 1 && saved === null) return { file: null, save: () => {} }
  const time = startScaledTime(saved ?? systemClock.now(), speed)
  const file = join(data, 'clock.json')
  writeFileSync(file, JSON.stringify(time))
  const clock = scaledClock(time)
  return {
    file,
    save: () => {
      writeFileSync(`${savedPath}.new`, JSON.stringify({ now: clock.now() }))
      renameSync(`${savedPath}.new`, savedPath)
    },
  }
}

const parentEveryMs = 250
const stopMs = 4_500

/** npm passes signals on to a shell that dies of them and leaves us behind: then our parent is another one. */
function stopWithNpm(stop: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return
  const parent = process.ppid
  const look = (): void => {
    if (process.ppid !== parent) stop()
    else systemTicker.after(parentEveryMs, look)
  }
  look()
}

async function main(): Promise<void> {
  const options = readOptions()
  logLevel()
  process.umask(0o077)
  const lock = await lockFolder(options.data)
  const secrets = join(options.data, 'secrets')
  mkdirSync(secrets, { recursive: true, mode: 0o700 })
  if (options.port !== 0 && !(await portIsFree(options.port))) {
    throw new PenstockError('port-in-use', { port: options.port, host: '127.0.0.1', option: '--port' })
  }

  const users = new Map<string, BrokerUser>([
    ['gateway', { password: secret(secrets, 'gateway', 'password'), edge: null }],
  ])
  for (const edge of edges) {
    users.set(edge.id, { password: secret(secrets, edge.id, 'password'), edge })
    secret(secrets, edge.id, 'hardware')
  }
  const broker: Broker = await openBroker(options.brokerPort, users)
  const ports = await freePorts(sites.length)
  const time = cityTime(options.data, options.speed)
  const clock = time.file === null ? [] : ['--clock', time.file]
  const env: NodeJS.ProcessEnv = {
    PENSTOCK_DATA: options.data,
    PENSTOCK_BROKER_PORT: String(broker.port),
    PENSTOCK_HTTP_PORT: String(options.port),
    ...Object.fromEntries(
      sites.map((site, index) => [`PENSTOCK_PORT_${site.toUpperCase().replaceAll('-', '_')}`, String(ports[index])]),
    ),
  }
  const portsFile = join(options.data, 'simulator-ports.json')
  writeFileSync(portsFile, JSON.stringify(Object.fromEntries(sites.map((site, index) => [site, ports[index]]))))

  const simulator = new Part(
    'simulator',
    [
      'simulator/src/cli.ts',
      ...['--scenario', options.scenario, '--seed', String(options.seed)],
      ...['--use-ports', portsFile, '--state', join(options.data, 'simulator.json'), ...clock],
    ],
    env,
  )
  const agents = edges.map(
    edge => new Part(`edge ${edge.id}`, ['edge/src/cli.ts', '--config', `demo/${edge.id}.yaml`, ...clock], env),
  )
  let address: string | undefined
  const gateway = new Part('gateway', ['gateway/src/cli.ts', '--config', 'demo/gateway.yaml', ...clock], env, event => {
    if (event.event !== 'ready') return
    address = event.signIn ?? event.url
    console.log(
      `\n  Open ${address}\n  (this address signs in once; scripts use the token in ${join(options.data, 'api-token')})\n`,
    )
  })
  let stopping = false
  const stop = async (code: number) => {
    if (stopping) return
    stopping = true
    console.log('stopping')
    for (const part of [simulator, ...agents, gateway]) part.expectEnd()
    // Whoever is left then sees the end of its standard input.
    systemTicker.after(stopMs, () => process.exit(code))
    // Sources first, so that everything read is delivered and confirmed as far as possible.
    await Promise.all([simulator.stop(1000), ...agents.map(agent => agent.stop(2000))])
    await gateway.stop(2000)
    await broker.close()
    time.save()
    await lock.release()
    process.exit(code)
  }
  // Whoever read what we print may be gone before us.
  process.stdout.on('error', () => {})
  process.on('SIGINT', () => void stop(0))
  process.on('SIGTERM', () => void stop(0))
  process.on('SIGHUP', () => void stop(0))
  stopWithNpm(() => void stop(0))

  console.log(`Penstock demonstration: scenario ${options.scenario}, data in ${options.data}`)
  try {
    await simulator.start()
    await Promise.all([gateway.start(), ...agents.map(agent => agent.start())])
  } catch (error) {
    console.error((error as Error).message)
    await stop(1)
    return
  }
  console.log('Running: simulator, broker, edges e01 and e02, gateway. Kill what you like; Ctrl-C stops all.')
  const saveEverySecond = () => {
    time.save()
    systemTicker.after(1000, saveEverySecond)
  }
  saveEverySecond()
}

main().catch((error: unknown) => {
  console.error(error instanceof PenstockError ? error.message : error)
  process.exit(error instanceof PenstockError || !(error instanceof Error) ? 2 : 1)
})
