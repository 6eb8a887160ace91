import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { RawClient, read } from './raw-client.ts'

const root = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'penstock-'))
const children: ChildProcess[] = []

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(() => rmSync(folder, { recursive: true }))

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function start(...args: string[]) {
  const child = spawn(process.execPath, ['simulator/src/cli.ts', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  let out = ''
  let err = ''
  child.stderr.on('data', chunk => {
    err += chunk
  })
  const lines = createInterface({ input: child.stdout })
  const ended = new Promise<Ended>(done => child.on('close', code => done({ code, out, err })))
  const ready = new Promise<{ ports: Record<string, number>; control: number }>((done, failed) => {
    lines.on('line', line => {
      out += `${line}\n`
      if (line.startsWith('{"event":"ready"')) done(JSON.parse(line))
    })
    void ended.then(result => failed(new Error(result.err)))
  })
  ready.catch(() => {})
  return { child, ended, ready }
}

const run = (...args: string[]): Promise<Ended> => start(...args).ended

describe('npm run simulator', { timeout: 30_000 }, () => {
  it('lists its scenarios', async () => {
    const { code, out, err } = await run('--list')
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain('chlorine-leak          Chlorine leak in the dosing room / 加氯间漏氯')
  })

  it('ends with 2 and names a port that is taken', async () => {
    const other = createServer()
    await new Promise<void>(done => other.listen(0, '127.0.0.1', done))
    const address = other.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    const ports = join(folder, 'taken.json')
    writeFileSync(ports, JSON.stringify({ waterworks: port }))
    const { code, err } = await run('--port-base', '0', '--use-ports', ports)
    other.close()
    expect([code, err]).toEqual([2, expect.stringContaining(`port ${port} on 127.0.0.1 is in use`)])
  })

  it('runs a city that other software can read and steer, and stops on Ctrl-C', async () => {
    const file = (name: string) => join(folder, name)
    const { child, ended, ready } = start(
      ...[
        '--scenario',
        'calm-day',
        '--port-base',
        '0',
        '--ports-file',
        file('ports.json'),
        '--state',
        file('state.json'),
      ],
      ...['--control', '0', '--control-token-file', file('token'), '--maps'],
    )
    const { ports, control } = await ready
    expect(JSON.parse(readFileSync(file('ports.json'), 'utf8'))).toEqual(ports)
    const client = await RawClient.connect(ports.waterworks ?? 0)
    expect((await client.ask(1, read(3, 0, 18))).length).toBe(9 + 36)
    const token = readFileSync(file('token'), 'utf8').trim()
    const ask = async (path: string) =>
      await (
        await fetch(`http://127.0.0.1:${control}${path}`, { headers: { authorization: `Bearer ${token}` } })
      ).json()
    expect(await ask('/truth')).toMatchObject({ meters: [{ device: 'fm-1', totalReads: 1 }, {}, {}, {}] })
    child.kill('SIGINT')
    const { code, out } = await ended
    expect(code).toBe(0)
    expect(out).toContain(`waterworks     127.0.0.1:${ports.waterworks}`)
    expect(out).toContain('unit  11  cl2-1          midas')
    expect(out).toContain('  1438  u16   total multiplier')
    expect(out).not.toContain(token)
    expect(JSON.parse(readFileSync(file('state.json'), 'utf8'))).toMatchObject({
      version: 1,
      scenario: 'calm-day',
      elapsedMs: 0,
    })
    client.close()
  })
})
