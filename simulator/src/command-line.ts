import { parseArgs } from 'node:util'
import { PenstockError } from '@penstock/core/runtime/errors.ts'

export const usage = `npm run simulator -- [options]
  --scenario NAME    a scenario of --list, or a YAML file (chlorine-leak)
  --list             names the scenarios and ends
  --check            checks the scenario and ends
  --seed N           the same seed gives the same run (1)
  --speed N          how fast the city's time passes (1)
  --clock FILE       takes the time from a file of "npm start" instead
  --host ADDRESS     address to listen on (127.0.0.1)
  --allow-remote     permits a --host that other machines can reach; Modbus knows no password
  --port-base N      site n listens on N + n (15020); 0: free ports
  --use-ports FILE   JSON {site: port} to listen on, before --port-base
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

export interface CommandLine {
  readonly task: 'help' | 'list' | 'check' | 'run'
  readonly scenario: string
  readonly seed: number
  /** null: as time passes, or as `clockFile` says */
  readonly speed: number | null
  readonly clockFile: string | undefined
  readonly host: string
  readonly portBase: number
  readonly usePorts: string | undefined
  readonly portsFile: string | undefined
  readonly readings: string | undefined
  readonly state: string | undefined
  readonly controlPort: number | null
  readonly controlTokenFile: string | undefined
  readonly maps: boolean
}

/** @throws PenstockError `config-invalid` that says what to write instead */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const values = readArguments(args)
  if (values.speed !== undefined && values.clock !== undefined) {
    throw wrong('--speed and --clock exclude each other; give one')
  }
  if (!isLoopback(values.host) && !values['allow-remote']) {
    throw wrong(`--host ${values.host} can be reached from other machines; add --allow-remote if you mean it`)
  }
  return {
    task: values.help ? 'help' : values.list ? 'list' : values.check ? 'check' : 'run',
    scenario: values.scenario,
    seed: number('seed', values.seed, 0, 2 ** 31),
    speed: values.speed === undefined ? null : number('speed', values.speed, 0.01, 100_000, false),
    clockFile: values.clock,
    host: values.host,
    portBase: number('port-base', values['port-base'], 0, 65_000),
    usePorts: values['use-ports'],
    portsFile: values['ports-file'],
    readings: values.readings,
    state: values.state,
    controlPort: values.control === undefined ? null : number('control', values.control, 0, 65_535),
    controlTokenFile: values['control-token-file'],
    maps: values.maps,
  }
}

const wrong = (text: string): PenstockError => new PenstockError('config-invalid', { text })

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options }).values
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
