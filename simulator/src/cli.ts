import { parseArgs } from 'node:util'
import { openClock, scaledClock, startScaledTime, systemClock } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { openLogger } from '@penstock/core/runtime/log.ts'
import { stopWithParent } from '@penstock/core/runtime/parent.ts'
import { type Control, openControl } from './control.ts'
import { portTable, readPorts, writeJson, writeSecret } from './port-files.ts'
import { listScenarios, loadScenario } from './scenario/load.ts'
import { openSimulator, type SimulatorOptions } from './simulator.ts'

const usage = `npm run simulator -- [options]
  --scenario NAME    a scenario of --list, or a YAML file (chlorine-leak)
  --list             names the scenarios and ends
  --check            checks the scenario and ends
  --seed N           the same seed gives the same run (1)
  --speed N          how fast the city's time passes (1)
  --clock FILE       takes the time from a file of "npm start" instead
  --host ADDRESS     address to listen on (127.0.0.1)
  --allow-remote     permits a --host that other machines can reach; Modbus knows no password
  --port-base N      site n listens on N + n (15020); 0: free ports
  --use-ports FILE   JSON {site: port} to listen on
  --ports-file FILE  writes JSON {site: port} when listening
  --readings FILE    readings for real-meters, CSV or CSV.gz, or their folder (PENSTOCK_REAL_METERS)
  --state FILE       keeps tanks and totals over restarts
  --control PORT     HTTP control on loopback; 0: a free port
  --control-token-file FILE  writes the control's token there instead of printing it
  --maps             prints the register maps too`

const options = {
  scenario: { type: 'string', default: 'chlorine-leak' },
  list: { type: 'boolean', default: false },
  check: { type: 'boolean', default: false },
  seed: { type: 'string', default: '1' },
  speed: { type: 'string' },
  clock: { type: 'string' },
  host: { type: 'string', default: '127.0.0.1' },
  'allow-remote': { type: 'boolean', default: false },
  'port-base': { type: 'string', default: '15020' },
  'use-ports': { type: 'string' },
  'ports-file': { type: 'string' },
  readings: { type: 'string' },
  state: { type: 'string' },
  control: { type: 'string' },
  'control-token-file': { type: 'string' },
  maps: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

const wrong = (text: string): PenstockError => new PenstockError('config-invalid', { text })

function readArguments() {
  try {
    return parseArgs({ options }).values
  } catch (error) {
    throw wrong(`${(error as Error).message}; see --help`)
  }
}

function number(name: string, text: string, least: number, most: number, whole = true): number {
  const value = Number(text)
  if (text.trim() !== '' && value >= least && value <= most && (!whole || Number.isInteger(value))) return value
  throw wrong(`--${name} is "${text}"; write a ${whole ? 'whole ' : ''}number from ${least} to ${most}`)
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

function time(speed: string | undefined, file: string | undefined) {
  if (speed !== undefined && file !== undefined) throw wrong('--speed and --clock exclude each other; give one')
  if (speed === undefined) {
    try {
      return openClock(file)
    } catch (error) {
      throw new PenstockError('config-missing', { path: file ?? '', cause: (error as Error).message }, { cause: error })
    }
  }
  const factor = number('speed', speed, 0.01, 100_000, false)
  return { clock: scaledClock(startScaledTime(systemClock.now(), factor)), factor }
}

async function main(): Promise<void> {
  const values = readArguments()
  if (values.help) return console.log(usage)
  if (values.list) return list()
  const scenario = loadScenario(values.scenario)
  if (values.check)
    return console.log(`${scenario.path}: ok, ${scenario.sites.length} sites, ${scenario.steps.length} steps`)
  if (!isLoopback(values.host) && !values['allow-remote']) {
    throw wrong(`--host ${values.host} can be reached from other machines; add --allow-remote if you mean it`)
  }
  const base = number('port-base', values['port-base'], 0, 65_000)
  const given = values['use-ports'] === undefined ? null : readPorts(values['use-ports'])
  const simulatorOptions: SimulatorOptions = {
    scenario,
    seed: number('seed', values.seed, 0, 2 ** 31),
    ...time(values.speed, values.clock),
    host: values.host,
    portOf: (site, n) => given?.[site] ?? (base === 0 ? 0 : base + n),
    readings: values.readings,
    stateFile: values.state,
    log: openLogger('simulator'),
  }
  const simulator = await openSimulator(simulatorOptions)
  let control: Control | undefined
  let stopping = false
  const stop = (): void => {
    if (stopping) return
    stopping = true
    void Promise.all([control?.close(), simulator.close()]).then(
      () => process.exit(0),
      (error: unknown) => fail(error),
    )
  }
  if (values.control !== undefined) {
    control = await openControl(simulator, number('control', values.control, 0, 65_535), stop)
    const file = values['control-token-file']
    if (file !== undefined) writeSecret(file, control.token)
    console.log(`control: http://127.0.0.1:${control.port}${file ? ` (token in ${file})` : ` token ${control.token}`}`)
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  stopWithParent(stop)
  const ports = Object.fromEntries(simulator.sites.map(({ id, port }) => [id, port]))
  if (values['ports-file'] !== undefined) await writeJson(values['ports-file'], ports)
  console.log(portTable(simulator, values.host, values.maps))
  const { scenario: name } = scenario
  console.log(JSON.stringify({ event: 'ready', scenario: name, ports, ...(control && { control: control.port }) }))
}

function list(): void {
  for (const name of listScenarios()) {
    const { title } = loadScenario(name)
    console.log(`${name.padEnd(22)} ${title.en} / ${title.zh}`)
  }
}

function fail(error: unknown): never {
  if (error instanceof PenstockError) console.error(error.message)
  else console.error(error)
  process.exit(error instanceof PenstockError ? 2 : 1)
}

main().catch(fail)
