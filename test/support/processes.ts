import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'

/** Real processes for the system suite: they write to a folder of their own and listen on free loopback ports. */

const root = join(import.meta.dirname, '../..')

/** Where a program is, or null: the suite skips visibly what it cannot run. */
function findProgram(name: string): string | null {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/bin']
  return folders.map(folder => join(folder, name)).find(path => existsSync(path)) ?? null
}

export const mosquitto = findProgram('mosquitto')
export const chromium = findProgram('chromium')

export async function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((done, failed) => {
    server.once('error', failed)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close(() => done(port))
    })
  })
}

export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'penstock-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

export interface Running {
  readonly name: string
  readonly pid: number
  /** everything written to standard output and error so far */
  output(): string
  /** the `ready` event that the program printed */
  readonly ready: Readonly<Record<string, unknown>>
  /** resolves with exit code or signal */
  readonly exited: Promise<number | NodeJS.Signals>
  kill(signal: NodeJS.Signals): void
  /** SIGTERM, then SIGKILL after 10 s */
  stop(): Promise<number | NodeJS.Signals>
}

interface StartOptions {
  readonly env?: NodeJS.ProcessEnv
  /** ready when this port answers, or when a JSON line with event "ready" is printed */
  readonly readyPort?: number
  readonly readyWithinMs?: number
}

export function penstock(part: 'edge' | 'gateway' | 'simulator', args: readonly string[], options: StartOptions = {}) {
  return start(part, process.execPath, [`${part}/src/cli.ts`, ...args], options)
}

/** Starts a program and waits until it is ready; rejects with its output when it ends before. */
async function start(
  name: string,
  program: string,
  args: readonly string[],
  options: StartOptions = {},
): Promise<Running> {
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  child.stderr.on('data', chunk => {
    text += String(chunk)
  })
  const exited = new Promise<number | NodeJS.Signals>(done =>
    child.once('exit', (code, signal) => done(signal ?? code ?? -1)),
  )
  const ready =
    options.readyPort === undefined
      ? readyLine(child, line => (text += `${line}\n`))
      : portReady(child, options.readyPort, line => (text += `${line}\n`))
  const limit = options.readyWithinMs ?? 20_000
  const event = await Promise.race([
    ready,
    exited.then(end => Promise.reject(new Error(`${name} ended with ${end}:\n${text}`))),
    new Promise<never>((_, failed) =>
      setTimeout(() => failed(new Error(`${name} not ready in ${limit} ms:\n${text}`)), limit).unref(),
    ),
  ]).catch(error => {
    child.kill('SIGKILL')
    throw error
  })
  return {
    name,
    pid: child.pid ?? -1,
    ready: event,
    exited,
    output: () => text,
    kill: signal => child.kill(signal),
    stop: async () => {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      const end = await exited
      clearTimeout(timer)
      return end
    },
  }
}

/** Runs a program to its end. */
export async function run(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += String(chunk)))
  return new Promise(done => child.once('close', code => done({ code: code ?? -1, output })))
}

function readyLine(child: ChildProcess, keep: (line: string) => void): Promise<Record<string, unknown>> {
  return new Promise(done => {
    if (!child.stdout) return
    createInterface({ input: child.stdout }).on('line', line => {
      keep(line)
      if (!line.startsWith('{')) return
      const event = JSON.parse(line) as Record<string, unknown>
      if (event.event === 'ready') done(event)
    })
  })
}

async function portReady(
  child: ChildProcess,
  port: number,
  keep: (line: string) => void,
): Promise<Record<string, unknown>> {
  child.stdout?.on('data', chunk => keep(String(chunk)))
  for (;;) {
    const open = await new Promise<boolean>(done => {
      const socket = createConnection(port, '127.0.0.1')
      socket.once('connect', () => {
        socket.destroy()
        done(true)
      })
      socket.once('error', () => done(false))
    })
    if (open) return { event: 'ready', port }
    if (child.exitCode !== null) return new Promise(() => {})
    await new Promise(wait => setTimeout(wait, 50))
  }
}

export interface MosquittoOptions {
  readonly folder: string
  readonly port: number
  /** user → password; empty: anonymous */
  readonly users?: Readonly<Record<string, string>>
  /** lines of an ACL file */
  readonly acl?: readonly string[]
}

/** A real Mosquitto with the settings that the documentation asks for. */
export async function startMosquitto({ folder, port, users = {}, acl }: MosquittoOptions): Promise<Running> {
  if (!mosquitto) throw new Error('mosquitto is not installed')
  mkdirSync(folder, { recursive: true })
  const lines = [
    `listener ${port} 127.0.0.1`,
    'set_tcp_nodelay true',
    'max_queued_messages 10000',
    'persistence false',
    'log_type error',
    'log_type warning',
  ]
  if (Object.keys(users).length > 0) {
    const passwords = join(folder, 'passwords')
    writeFileSync(
      passwords,
      Object.entries(users)
        .map(([user, password]) => `${user}:${password}\n`)
        .join(''),
      { mode: 0o600 },
    )
    const hashed = await new Promise<number>(done =>
      spawn(findProgram('mosquitto_passwd') ?? 'mosquitto_passwd', ['-U', passwords], { stdio: 'ignore' }).once(
        'exit',
        code => done(code ?? 1),
      ),
    )
    if (hashed !== 0) throw new Error('mosquitto_passwd failed')
    lines.push('allow_anonymous false', `password_file ${passwords}`)
  } else {
    lines.push('allow_anonymous true')
  }
  if (acl) {
    const path = join(folder, 'acl')
    writeFileSync(path, `${acl.join('\n')}\n`, { mode: 0o600 })
    lines.push(`acl_file ${path}`)
  }
  // Debian's mosquitto gives up root for the user mosquitto, who may not read a temporary folder.
  if (process.getuid?.() === 0) lines.push('user root')
  const config = join(folder, 'mosquitto.conf')
  writeFileSync(config, `${lines.join('\n')}\n`)
  return start('mosquitto', mosquitto, ['-c', config], { readyPort: port })
}

/** The rights of the production broker: each edge speaks for itself, only the gateway commands. */
export function aclFor(
  edges: readonly { user: string; group: string; edge: string }[],
  groups: readonly string[],
  host: string,
): string[] {
  return [
    'user gateway',
    `topic readwrite spBv1.0/STATE/${host}`,
    ...groups.flatMap(group => [
      `topic read spBv1.0/${group}/#`,
      `topic write spBv1.0/${group}/NCMD/#`,
      `topic write spBv1.0/${group}/DCMD/#`,
    ]),
    ...edges.flatMap(({ user, group, edge }) => [
      `user ${user}`,
      `topic read spBv1.0/STATE/${host}`,
      `topic read spBv1.0/${group}/NCMD/${edge}`,
      `topic read spBv1.0/${group}/DCMD/${edge}/#`,
      ...['NBIRTH', 'NDATA', 'NDEATH'].map(verb => `topic write spBv1.0/${group}/${verb}/${edge}`),
      ...['DBIRTH', 'DDATA', 'DDEATH'].map(verb => `topic write spBv1.0/${group}/${verb}/${edge}/#`),
    ]),
  ]
}
