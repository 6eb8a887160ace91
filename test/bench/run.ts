import { fork } from 'node:child_process'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { benches, isBench } from './benches.ts'
import { machineFacts } from './machine.ts'
import { formatRows, type Row } from './row.ts'

const usage = `npm run bench -- [options]
  --only NAME,...   only these
  --long            minutes instead of seconds for each
Names: ${Object.keys(benches).join(', ')}
PENSTOCK_BENCH_FOLDER: a folder on the disk that is to be measured (the folder for temporary files)`

/** Exit code 1 only when a benchmark crashed: a bar that was not reached is a result. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      long: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    return 0
  }
  const names = values.only?.split(',') ?? Object.keys(benches)
  const unknown = names.filter(name => !isBench(name))
  if (unknown.length > 0) throw new RangeError(`there is no benchmark ${unknown.join(', ')}\n${usage}`)
  const facts = await machineFacts()
  console.log(`${facts.join('\n')}\n`)
  const rows: Row[] = []
  const crashed: string[] = []
  for (const name of names) {
    const begun = performance.now()
    const measured = await runOne(name, values.long)
    if (measured) rows.push(...measured)
    else crashed.push(name)
    const seconds = ((performance.now() - begun) / 1_000).toFixed(0)
    const [load = 0] = loadavg()
    console.error(`${name}: ${measured ? 'done' : 'CRASHED'} in ${seconds} s, load average ${load.toFixed(1)}`)
  }
  console.log(formatRows(rows))
  if (crashed.length > 0) console.log(`\ncrashed: ${crashed.join(', ')}`)
  return crashed.length > 0 ? 1 : 0
}

/** In a fresh process; null when it ended without rows. */
function runOne(name: string, long: boolean): Promise<readonly Row[] | null> {
  return new Promise(resolve => {
    const child = fork(join(import.meta.dirname, 'run-one.ts'), [name, ...(long ? ['--long'] : [])], {
      serialization: 'advanced',
    })
    let rows: readonly Row[] | null = null
    child.on('message', (message: readonly Row[]) => {
      rows = message
    })
    child.on('exit', () => resolve(rows))
  })
}

process.exitCode = await main().catch(error => {
  console.error(error instanceof RangeError ? error.message : error)
  return 2
})
