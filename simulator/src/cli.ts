import { openClock, scaledClock, startScaledTime, systemClock } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { openLogger } from '@penstock/core/runtime/log.ts'
import { stopWithParent } from '@penstock/core/runtime/parent.ts'
import { type CommandLine, parseCommandLine, usage } from './command-line.ts'
import { type Control, openControl } from './control.ts'
import { portTable, readPorts, writeJson, writeSecret } from './port-files.ts'
import { listScenarios, loadScenario } from './scenario/load.ts'
import { openSimulator } from './simulator.ts'

async function main(): Promise<void> {
  const command = parseCommandLine(process.argv.slice(2))
  switch (command.task) {
    case 'help':
      return console.log(usage)
    case 'list':
      for (const name of listScenarios()) {
        const { title } = loadScenario(name)
        console.log(`${name.padEnd(22)} ${title.en} / ${title.zh}`)
      }
      return
    case 'check': {
      const { path, sites, steps } = loadScenario(command.scenario)
      return console.log(`${path}: ok, ${sites.length} sites, ${steps.length} steps`)
    }
    case 'run':
      return run(command)
  }
}

async function run(command: CommandLine): Promise<void> {
  const given = command.usePorts === undefined ? null : readPorts(command.usePorts)
  const simulator = await openSimulator({
    scenario: command.scenario,
    seed: command.seed,
    host: command.host,
    readings: command.readings,
    ...time(command),
    portOf: (site, n) => given?.[site] ?? (command.portBase === 0 ? 0 : command.portBase + n),
    stateFile: command.state,
    log: openLogger('simulator'),
  })
  let control: Control | undefined
  let stopping = false
  const stop = (): void => {
    if (stopping) return
    stopping = true
    void Promise.all([control?.close(), simulator.close()]).then(() => process.exit(0), fail)
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  stopWithParent(stop)
  if (command.controlPort !== null) {
    control = await openControl(simulator, command.controlPort, stop)
    const file = command.controlTokenFile
    if (file !== undefined) writeSecret(file, control.token)
    console.log(`control: http://127.0.0.1:${control.port}, token ${file ? `in ${file}` : control.token}\n`)
  }
  const ports = Object.fromEntries(simulator.sites.map(({ id, port }) => [id, port]))
  if (command.portsFile !== undefined) await writeJson(command.portsFile, ports)
  console.log(portTable(simulator, command.host, command.maps))
  const { scenario } = simulator.scenario
  console.log(JSON.stringify({ event: 'ready', scenario, ports, ...(control && { control: control.port }) }))
}

function time({ speed, clockFile }: CommandLine) {
  if (speed !== null) return { clock: scaledClock(startScaledTime(systemClock.now(), speed)), factor: speed }
  try {
    return openClock(clockFile)
  } catch (error) {
    throw new PenstockError(
      'config-missing',
      { path: clockFile ?? '', cause: (error as Error).message },
      { cause: error },
    )
  }
}

function fail(error: unknown): never {
  console.error(error instanceof PenstockError ? error.message : error)
  process.exit(error instanceof PenstockError ? 2 : 1)
}

main().catch(fail)
