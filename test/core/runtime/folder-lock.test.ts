import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { lockFolder } from '@penstock/core/runtime/folder-lock.ts'
import { afterEach, beforeEach, expect, test } from 'vitest'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'penstock-lock-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** Another process that holds the lock, until killed. */
async function holder(): Promise<ChildProcess> {
  const module = import.meta.resolve('@penstock/core/runtime/folder-lock.ts')
  const script = `import { lockFolder } from ${JSON.stringify(module)}
    await lockFolder(${JSON.stringify(folder)})
    console.log('locked')
    process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  if (!child.stdout) throw new Error('no output')
  await once(child.stdout, 'data')
  return child
}

test('one process keeps the other out, and names itself', async () => {
  const child = await holder()
  try {
    await expect(lockFolder(folder)).rejects.toMatchObject({
      code: 'data-in-use',
      details: { path: folder, pid: child.pid },
    })
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
})

test('the lock of a killed process is taken over', async () => {
  const child = await holder()
  child.kill('SIGKILL')
  await once(child, 'exit')
  const lock = await lockFolder(folder)
  expect(await readFile(path.join(folder, 'lock'), 'utf8')).toContain(`"pid":${process.pid}`)
  await lock.release()
})

test('the same process does not get it twice either, until it is released', async () => {
  const lock = await lockFolder(folder)
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'data-in-use' })
  await lock.release()
  await lock.release()
  await (await lockFolder(folder)).release()
  expect(await readdir(folder)).toEqual([])
})

test('of many that see a stale lock one gets it', async () => {
  await writeFile(path.join(folder, 'lock'), JSON.stringify({ pid: 2 ** 22 + 1, started: null, token: 'gone' }))
  const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => lockFolder(folder)))
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(await readdir(folder)).toEqual(['lock'])
})

test.runIf(process.platform === 'linux')(
  'a process that only has the pid of the former holder is not the holder',
  async () => {
    await writeFile(
      path.join(folder, 'lock'),
      JSON.stringify({ pid: process.pid, started: 'boot/1', token: 'earlier' }),
    )
    await (await lockFolder(folder)).release()
  },
)

test('a torn lock file is no obstacle', async () => {
  await writeFile(path.join(folder, 'lock'), '{"pid":')
  await (await lockFolder(folder)).release()
})

test('a folder that cannot be made is an error of the disk', async () => {
  await writeFile(path.join(folder, 'file'), '')
  await expect(lockFolder(path.join(folder, 'file', 'data'))).rejects.toMatchObject({ code: 'disk-failed' })
})
