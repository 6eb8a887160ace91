import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { temporaryFolder } from '../support/processes.ts'
import { until } from '../support/world.ts'

const root = join(import.meta.dirname, '../..')

/** `npm start` as somebody at a terminal starts it: a process group of its own. */
class Start {
  readonly child: ChildProcess
  readonly ended: Promise<unknown>
  output = ''

  constructor(data: string, env: NodeJS.ProcessEnv = {}, ...more: string[]) {
    this.child = spawn('npm', ['start', '--', '--port', '0', '--data', data, ...more], {
      cwd: root,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.child.stdout, this.child.stderr]) stream?.on('data', text => (this.output += text))
    this.ended = new Promise(done => this.child.once('exit', done))
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** address of the page, when everything runs */
  async ready(): Promise<URL> {
    await until('everything running', 30_000, () => (this.output.includes('Running:') ? true : undefined))
    return new URL(/Open (\S+)/.exec(this.output)?.[1] ?? '')
  }

  processes(): string[] {
    const all = execFileSync('ps', ['-eo', 'pgid=,pid=,args='], { encoding: 'utf8' }).split('\n')
    return all.filter(line => line.trim().startsWith(`${this.pid} `) && !line.includes('<defunct>'))
  }

  /** Ms until no process is left; every one that runs was started by this test. */
  async gone(): Promise<number> {
    const since = performance.now()
    await until('no process left', 15_000, () => (this.processes().length === 0 ? true : undefined))
    return performance.now() - since
  }
}

const starts: Start[] = []
const folders: { remove: () => void }[] = []

function start(data: string, env: NodeJS.ProcessEnv = {}, ...more: string[]): Start {
  const started = new Start(data, env, ...more)
  starts.push(started)
  return started
}

function folder(): string {
  const made = temporaryFolder()
  folders.push(made)
  return join(made.path, 'data')
}

afterEach(() => {
  for (const { pid, processes } of starts.splice(0).map(one => ({ pid: one.pid, processes: one.processes() }))) {
    if (processes.length > 0) process.kill(-pid, 'SIGKILL')
  }
  for (const made of folders.splice(0)) made.remove()
})

async function totals(url: URL, data: string): Promise<Map<string, bigint>> {
  const token = readFileSync(join(data, 'api-token'), 'utf8').trim()
  const response = await fetch(`${url.origin}/api/v1/tags`, { headers: { Authorization: `Bearer ${token}` } })
  const { tags } = (await response.json()) as { tags: { tag: string; value: string | null; type: string }[] }
  return new Map(
    tags.flatMap(({ tag, value, type }) =>
      tag.endsWith('/total') && type === 'Int64' && value !== null ? [[tag, BigInt(value)]] : [],
    ),
  )
}

const answers = (url: URL): Promise<boolean> =>
  fetch(`${url.origin}/health/live`).then(
    () => true,
    () => false,
  )

describe.skipIf(process.platform !== 'linux')('npm start', () => {
  it('runs, refuses a second one on its data, stops by Ctrl-C, goes on with its data, stops by SIGTERM to npm alone', async () => {
    const data = folder()
    const first = start(data)
    const url = await first.ready()
    expect((await fetch(url, { redirect: 'manual' })).status).toBe(303)
    expect((statSync(data).mode & 0o777).toString(8)).toBe('700')
    const before = await until('totals of all meters', 30_000, async () => {
      const found = await totals(url, data)
      return found.size >= 4 ? found : undefined
    })

    const second = start(data)
    await second.ended
    expect(second.output).toMatch(
      /the data folder .*data is in use by process \d+; stop that process or choose another/,
    )
    expect(second.output).not.toMatch(/\n\s+at /)
    expect(await answers(url)).toBe(true)
    expect(first.output).not.toContain('starting it again')

    process.kill(-first.pid, 'SIGINT')
    expect(await first.gone()).toBeLessThan(5_000)
    expect(first.output).not.toContain('starting it again')
    expect(await answers(url)).toBe(false)

    const third = start(data)
    const again = await third.ready()
    const after = await until('totals of all meters', 30_000, async () => {
      const found = await totals(again, data)
      return found.size >= before.size ? found : undefined
    })
    for (const [tag, total] of before) expect(after.get(tag) ?? -1n, tag).toBeGreaterThanOrEqual(total)

    third.child.kill('SIGTERM')
    expect(await third.gone()).toBeLessThan(5_000)
    expect(await answers(again)).toBe(false)
  })

  it.each([
    ['an unknown level of the log', { PENSTOCK_LOG: 'loud' }, [], 'PENSTOCK_LOG is "loud"; write one of: debug, info,'],
    ['a speed that is no number', {}, ['--speed', 'fast'], '--speed is "fast"; write a number from 1 to '],
    ['an unknown option', {}, ['--sped', '2'], "Unknown option '--sped'"],
  ])('refuses %s in words, without a stack', async (_, env, more, text) => {
    const refused = start(folder(), env, ...more)
    await refused.ended
    expect(refused.output).toContain(text)
    expect(refused.output).not.toMatch(/\n\s+at /)
    expect(refused.child.exitCode).toBe(2)
  })
})
