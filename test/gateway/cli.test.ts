import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { passwordFits } from '@penstock/gateway/http/auth/password.ts'
import { hashSecret } from '@penstock/gateway/http/auth/token.ts'
import { usersCommand } from '@penstock/gateway/users-cli.ts'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { penstock, type Running } from '../support/processes.ts'

const root = join(import.meta.dirname, '../..')
let folder: string
let running: Running

/** No broker listens there: the gateway tries again in the background. */
const gatewayText = (http: string, data = 'data') => `
gateway: { hostId: penstock, groups: ["320706"], data: ${data} }
broker: { urls: ["mqtt://127.0.0.1:9"] }
http: ${http}
rules: [rules.yaml]
`
const rulesText = 'version: 1\nrules: []\n'

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

/** Runs the program to its end. */
function run(args: readonly string[], input = ''): Promise<{ code: number; out: string; err: string }> {
  return new Promise(resolve => {
    const child = execFile(process.execPath, ['gateway/src/cli.ts', ...args], { cwd: root }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
    child.stdin?.end(input)
  })
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'penstock-cli-'))
  write('registry.yaml', 'groups: [{ id: "320706", name: { zh: 海州区, en: Haizhou } }]\n')
  write('users.yaml', 'users: []\n')
  write('rules.yaml', rulesText)
  write('duty-room.secret', 'secret\n')
  const config = write(
    'gateway.yaml',
    `${gatewayText('{ port: 0, apiTokenFile: api-token, printSignIn: true }')}
webhooks: [{ id: duty-room, url: "http://127.0.0.1:9/hook", secretFile: duty-room.secret }]
`,
  )
  running = await penstock('gateway', ['--config', config], { env: { PENSTOCK_LOG: 'info' } })
}, 60_000)
afterAll(async () => {
  await running?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const api = (path: string) =>
  fetch(`${String(running.ready.url)}${path}`, {
    headers: { Authorization: `Bearer ${readFileSync(join(folder, 'api-token'), 'utf8').trim()}` },
  })

describe('the gateway program', () => {
  it('prints where it is and an address that signs in once, and serves although there is no broker', async () => {
    expect(running.ready).toMatchObject({ event: 'ready' })
    expect(running.ready.signIn).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/sign-in\?code=/)
    const ready = await api('/health/ready')
    expect(ready.status).toBe(503)
    expect(await ready.json()).toMatchObject({
      ready: false,
      checks: [{ name: 'broker', ok: false }, { ok: true }, { ok: true }, { ok: true }],
    })
    const metrics = await (await api('/metrics')).text()
    for (const line of [
      'penstock_broker_connected 0',
      'penstock_inbox_damaged_total 0',
      'penstock_inbox_refused_entries_total{entries="live"} 0',
      'penstock_inbox_refused_entries_total{entries="other"} 0',
      'penstock_event_streams_refused_total 0',
      'penstock_webhook_delivered_total{webhook="duty-room"} 0',
      'penstock_webhook_refused_total{webhook="duty-room"} 0',
      'penstock_webhook_expired_total{webhook="duty-room"} 0',
      'penstock_webhook_failures{webhook="duty-room"} 0',
    ]) {
      expect(metrics.split('\n')).toContain(line)
    }
  })

  it('keeps its data to itself, whatever the umask of whoever started it', () => {
    const modeOf = (name: string) => (statSync(join(folder, 'data', name)).mode & 0o777).toString(8)
    expect(['.', 'inbox', 'alarms/journal', 'notify'].map(modeOf)).toEqual(['700', '700', '700', '700'])
    expect(['store.sqlite', 'historian/historian.sqlite', 'identity.json', 'lock'].map(modeOf)).toEqual(
      Array(4).fill('600'),
    )
  })

  it('refuses a folder and a port that are in use, a listener without TLS, and broken files', async () => {
    const port = Number(new URL(String(running.ready.url)).port)
    const other = (http: string, data: string) => write(`other-${data}.yaml`, gatewayText(http, data))
    const [folderTaken, portTaken, open, broken, missing] = await Promise.all([
      run(['--config', join(folder, 'gateway.yaml')]),
      run(['--config', other(`{ port: ${port} }`, 'data-2')]),
      run(['--config', other('{ host: 0.0.0.0 }', 'data-3'), '--check']),
      run(['--config', write('broken.yaml', 'gateway: 7\n'), '--check']),
      run(['--config', join(folder, 'nothing.yaml')]),
    ])
    expect(folderTaken).toMatchObject({ code: 2 })
    expect(folderTaken.err).toContain(`in use by process ${running.pid}`)
    expect(portTaken).toMatchObject({ code: 2 })
    expect(portTaken.err).toContain(`port ${port} on 127.0.0.1 is in use`)
    expect(open.code).toBe(2)
    expect(open.err).toMatch(/other-data-3\.yaml:4:\d+: 0\.0\.0\.0 is reachable from outside/)
    expect(broken.code).toBe(2)
    expect(broken.err).toMatch(/broken\.yaml:1/)
    expect(missing.code).toBe(2)
  }, 60_000)

  it('checks all its files at once', async () => {
    const good = await run(['--config', join(folder, 'gateway.yaml'), '--check'])
    expect(good).toMatchObject({ code: 0 })
    write('bad-registry.yaml', 'groups: []\n')
    write('bad-rules.yaml', 'version: 2\nrules: []\n')
    const text = gatewayText('{ port: 0 }').replace('rules.yaml', 'bad-rules.yaml')
    const bad = await run(['--config', write('bad.yaml', `${text}registry: bad-registry.yaml\n`), '--check'])
    expect(bad.code).toBe(2)
    expect(bad.err).toContain('bad-registry.yaml:1')
    expect(bad.err).toContain('bad-rules.yaml:1')
  }, 60_000)

  it('reloads on SIGHUP and keeps what is in effect when the file is broken', async () => {
    const config = async () =>
      ((await (await api('/api/v1/status')).json()) as { config: { what: string; problem: string | null }[] }).config
    write('rules.yaml', 'version: 1\nrules: 7\n')
    running.kill('SIGHUP')
    await expect
      .poll(async () => (await config()).find(one => one.what === 'rules')?.problem, { timeout: 10_000 })
      .toMatch(/rules\.yaml:2/)
    write('rules.yaml', rulesText)
    running.kill('SIGHUP')
    await expect
      .poll(async () => (await config()).find(one => one.what === 'rules')?.problem, { timeout: 10_000 })
      .toBeNull()
  })

  it('makes an entry of a user, with a password from standard input', async () => {
    const added = await run(['users', 'add', 'wang', '--role', 'operator', '--name', '王值班'], 'a good password\n')
    expect(added.out).toMatch(/^- \{"id":"wang","name":"王值班","role":"operator","password":"scrypt\$/)
    const fields = JSON.parse(added.out.slice(2)) as { password: string }
    expect(await passwordFits('a good password', fields.password)).toBe(true)
  }, 60_000)

  it('makes a token and refuses a role that does not exist', async () => {
    const out = vi.spyOn(console, 'log').mockImplementation(() => {})
    const err = vi.spyOn(console, 'error').mockImplementation(() => {})
    await usersCommand(['token', 'grafana'], { role: 'viewer' })
    const entry = JSON.parse(String(out.mock.calls[0]?.[0]).slice(2)) as { hash: string }
    const token = /the token, shown once: ([\w-]{43})$/.exec(String(err.mock.calls[0]?.[0]))?.[1] ?? ''
    expect(entry).toEqual({ id: 'grafana', role: 'viewer', hash: hashSecret(token) })
    await expect(usersCommand(['token', 'grafana'], { role: 'king' })).rejects.toMatchObject({ code: 'config-invalid' })
    await expect(usersCommand(['add', 'a/b'], { role: 'viewer' })).rejects.toMatchObject({ code: 'config-invalid' })
    vi.restoreAllMocks()
  })

  it('stops cleanly, and leaves the folder to the next one', async () => {
    expect(existsSync(join(folder, 'data/lock'))).toBe(true)
    expect(await running.stop()).toBe(0)
    expect(existsSync(join(folder, 'data/lock'))).toBe(false)
  }, 60_000)
})
