import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { PenstockError } from './errors.ts'
import { diskError, systemCode } from './node-files.ts'

/** The one process that may write to a data folder. */
export interface FolderLock {
  /** Idempotent. */
  release(): Promise<void>
}

interface Holder {
  readonly pid: number
  /** boot and start time of the process, where the system tells: a pid comes back, in a container even at every start */
  readonly started: string | null
  readonly token: string
}

const lockName = 'lock'

/**
 * Takes the folder, which is made if missing, for this process, by a file `lock` with its pid. The lock of a process that no longer
 * runs is taken over. Processes that do not see each other (other machine, other pid namespace) are not kept apart.
 * @throws PenstockError `data-in-use` | `disk-full` | `disk-failed`
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const file = path.join(folder, lockName)
  const mine: Holder = { pid: process.pid, started: await startOf(process.pid), token: randomUUID() }
  try {
    await mkdir(folder, { recursive: true })
    while (!(await create(file, mine))) await clear(folder, file)
  } catch (error) {
    throw diskError(file, error)
  }
  let released: Promise<void> | undefined
  return {
    release: () => {
      released ??= release(file, mine)
      return released
    },
  }
}

/** Appears with its content or not at all. */
async function create(file: string, holder: Holder): Promise<boolean> {
  const temporary = `${file}.${holder.token}`
  await writeFile(temporary, JSON.stringify(holder))
  try {
    await link(temporary, file)
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw error
  } finally {
    await unlink(temporary)
  }
}

/** Returns when there is no lock any more; refuses if its holder runs. */
async function clear(folder: string, file: string): Promise<void> {
  const holder = await read(file)
  if (holder === null) return
  if (await runs(holder)) throw new PenstockError('data-in-use', { path: folder, pid: holder.pid })
  // Only one of several processes that see the stale lock can move it away; and if it moved a new one, it puts it back.
  const moved = `${file}.stale-${randomUUID()}`
  try {
    await rename(file, moved)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return
    throw error
  }
  const found = await read(moved)
  try {
    if (found && found.token !== holder.token) await link(moved, file)
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  } finally {
    await unlink(moved)
  }
}

async function release(file: string, mine: Holder): Promise<void> {
  const holder = await read(file)
  if (holder?.token === mine.token) await unlink(file)
}

/** A file without sense counts as the lock of a process that is gone. */
async function read(file: string): Promise<Holder | null> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
  return parseHolder(text)
}

function parseHolder(text: string): Holder {
  try {
    const { pid, started, token } = JSON.parse(text) as Partial<Holder>
    if (Number.isSafeInteger(pid) && typeof token === 'string') {
      return { pid: Number(pid), started: typeof started === 'string' ? started : null, token }
    }
  } catch {
    // falls through: not JSON
  }
  return { pid: 0, started: null, token: text }
}

async function runs({ pid, started }: Holder): Promise<boolean> {
  if (pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return false
  }
  return started === null || started === (await startOf(pid))
}

/** Boot id and start time in ticks after boot, from /proc; null where there is none or no such process. */
async function startOf(pid: number): Promise<string | null> {
  try {
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return `${boot}/${fields[19]}`
  } catch {
    return null
  }
}
