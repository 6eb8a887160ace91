import { systemTicker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { stopWithParent } from '@penstock/core/runtime/parent.ts'
import { command, exitCodeOf } from './command-line.ts'

const stopMs = 4_800

// What the program makes is nobody else's: folders 0700, files 0600, also those that SQLite makes.
process.umask(0o077)

function fail(error: unknown): void {
  console.error(error instanceof PenstockError ? error.message : error)
  process.exit(exitCodeOf(error))
}

async function main(): Promise<void> {
  const agent = await command(process.argv.slice(2), console.log)
  if (!agent) return
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
}

main().catch(fail)
