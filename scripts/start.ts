import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { scaledClock, sleep, startScaledTime, systemClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { type Broker, type BrokerUser, openBroker } from './broker.ts'

// `npm start`: a small piece of the sample city on this machine: simulator, broker, two edges, gateway. What is killed comes back.

const usage = `npm start -- [options]
  --port N        port of the page and the API (8080)
  --data FOLDER   where everything is kept (./data)
  --scenario NAME chlorine-leak, calm-day, tank-overfill, meter-comm-loss, totalizer-rollover (chlorine-leak)
  --speed N       1 to 60: how fast time passes (1)
  --broker-port N port of the MQTT broker (a free one)
  --seed N        seed of the simulator (1)`

const root = join(import.meta.dirname, '..')
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

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8080' },
      data: { type: 'string', default: 'data' },
      scenario: { type: 'string', default: 'chlorine-leak' },
      speed: { type: 'string', default: '1' },
      'broker-port': { type: 'string', default: '0' },
      seed: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    process.exit(0)
  }
  const number = (name: 'port' | 'speed' | 'broker-port' | 'seed', least: number, most: number) => {
    const value = Number(values[name])
    if (!Number.isFinite(value) || value < least || value > most) {
      throw new Error(`--${name} is "${values[name]}"; write a number from ${least} to ${most}`)
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

/** A child that is started again when it dies, until `stop`. */
class Part {
  readonly name: string
  readonly #args: readonly string[]
  readonly #env: NodeJS.ProcessEnv
  readonly #onEvent: (event: { event: string; url?: string; signIn?: string }) => void
  #child: ChildProcess | undefined
  #stopping = false
  #exited: Promise<void> = Promise.resolve()

  constructor(
    name: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    onEvent: (event: { event: string; url?: string; signIn?: string }) => void = () => {},
  ) {
    this.name = name
    this.#args = args
    this.#env = env
    this.#onEvent = onEvent
  }

  /** Resolves when the part has said that it is ready; rejects when it ends before. */
  start(): Promise<void> {
    return new Promise((ready, failed) => {
      // Standard input stays open while this process lives: a part whose parent was killed sees its end and stops.
      const child = spawn(process.execPath, this.#args, {
        cwd: root,
        env: {
          ...process.env,
          PENSTOCK_STOP_WITH_PARENT: '1',
          PENSTOCK_LOG: process.env.PENSTOCK_LOG ?? 'warn',
          ...this.#env,
        },
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      this.#child = child
      this.#exited = new Promise(exited => {
        child.once('exit', (code, signal) => {
          exited()
          failed(new Error(`${this.name} ended with ${signal ?? `exit code ${code}`}; its messages stand above`))
          if (!this.#stopping) void this.#again(code, signal)
        })
      })
      createInterface({ input: child.stdout }).on('line', line => {
        if (!line.startsWith('{')) return
        const event = JSON.parse(line) as { event: string; url?: string; signIn?: string }
        this.#onEvent(event)
        if (event.event === 'ready') ready()
      })
    })
  }

  async #again(code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    if (code === 2) return
    console.log(`${this.name} ended (${signal ?? `exit code ${code}`}); starting it again`)
    await sleep(systemTicker, 500)
    if (this.#stopping) return
    await this.start().then(
      () => console.log(`${this.name} is back`),
      () => {},
    )
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true
    this.#child?.kill('SIGTERM')
    const cancel = systemTicker.after(deadlineMs, () => this.#child?.kill('SIGKILL'))
    await this.#exited
    cancel()
  }
}

async function main(): Promise<void> {
  const options = readOptions()
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
    // Sources first, so that everything read is delivered and confirmed as far as possible.
    await Promise.all([simulator.stop(1000), ...agents.map(agent => agent.stop(2000))])
    await gateway.stop(2000)
    await broker.close()
    time.save()
    process.exit(code)
  }
  process.on('SIGINT', () => void stop(0))
  process.on('SIGTERM', () => void stop(0))

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
