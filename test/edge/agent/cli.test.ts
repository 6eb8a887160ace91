import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { command, exitCodeOf } from '@penstock/edge/command-line.ts'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { penstock } from '../../support/processes.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'penstock-edge-'))
  mkdirSync(join(folder, 'data'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** A site whose broker and device do not exist: port 1 of loopback. */
function siteFile(change: (text: string) => string = text => text): string {
  const text = `
edge: { group: "320706", id: e01, hardwareIdFile: hardware }
host: penstock
broker: { urls: ["mqtt://127.0.0.1:1"] }
data: data
channels: [{ id: bus, driver: modbus, host: 127.0.0.1, port: 1 }]
devices:
  - { site: waterworks, id: fm-1, channel: bus, unitId: 1, profile: mfe600c }
  - { site: waterworks, id: fm-2, channel: bus, unitId: 2, profile: mfe600c }
metrics: { port: 0 }
`
  writeFileSync(join(folder, 'hardware'), 'box-1\n')
  const path = join(folder, 'site.yaml')
  writeFileSync(path, change(text))
  return path
}

/** The command in this process: what it printed, or the error's text, and the exit code. */
async function edge(...args: string[]): Promise<{ code: number; output: string }> {
  let output = ''
  try {
    const agent = await command(args, text => {
      output += text
    })
    await agent?.close()
    return { code: 0, output }
  } catch (error) {
    return { code: exitCodeOf(error), output: (error as Error).message }
  }
}

test('--check says what a site file means in numbers, and 0', async () => {
  const { code, output } = await edge('--config', siteFile(), '--check')
  expect(code).toBe(0)
  expect(output).toContain('edge 320706/e01: 2 devices, 16 tags')
  expect(output).toMatch(/channel bus: 2 devices, \d+\.\d\d requests a second/)
  expect(output).toMatch(/to the disk: \d+\.\d MiB to \d+\.\d MiB a day/)
  expect(output).toMatch(/birth of waterworks:fm-1: 8 tags, \d+ bytes/)
})

test.each([
  ['a wrong site file, with the place', ['--check'], /site\.yaml:8:\d+: there is no channel "bsu"; did you mean "bus"/],
  ['an unknown option', ['--nonsense'], /Unknown option '--nonsense'/],
  ['an unknown command', ['outbox', 'burn'], /there is no command "outbox burn"/],
])('%s: what to write instead, and 2', async (_, args, text) => {
  const path = siteFile(all =>
    args[0] === '--check' ? all.replace('id: fm-1, channel: bus', 'id: fm-1, channel: bsu') : all,
  )
  const { code, output } = await edge('--config', path, ...args)
  expect(output).toMatch(text)
  expect(code).toBe(2)
})

test('runs without broker and devices, shows its metrics on loopback, stops when asked; a second one is refused', async () => {
  const path = siteFile()
  const agent = await penstock('edge', ['--config', path], { env: { PENSTOCK_LOG: 'info' } })
  try {
    expect(agent.ready).toMatchObject({ event: 'ready', edge: '320706/e01' })
    const url = String(agent.ready.metrics)
    const metrics = async (): Promise<string> => (await fetch(url)).text()
    await expect.poll(metrics, { timeout: 10_000 }).toContain('penstock_edge_device_up{device="waterworks:fm-1"} 0')
    const text = await metrics()
    // nothing was ever confirmed: that is not "0 seconds ago"
    expect(text).not.toMatch(/^penstock_edge_since_confirmation_seconds/m)
    expect(text).toContain('penstock_edge_problem{problem="not-connected"} 1')
    expect(text).toMatch(/penstock_edge_outbox_batches_total\{class="raw"\} [1-9]/)
    expect(text).toMatch(/penstock_edge_outbox_lost_batches_total\{class="alarm"\} 0/)
    expect(text).toContain('penstock_edge_device_events_total{device="waterworks:fm-2",event="missedScans"}')
    const names = new Set([...text.matchAll(/^# TYPE penstock_edge_(\w+) /gm)].map(([, name]) => name))
    expect([...names].toSorted()).toEqual([
      ...['confirm_delay_seconds', 'connected', 'device_events_total', 'device_up', 'host_online'],
      ...['outbox_backlog_batches', 'outbox_batches_total', 'outbox_bytes', 'outbox_disk_failed', 'outbox_lag_seconds'],
      ...['outbox_lost_batches_total', 'outbox_max_bytes', 'outbox_refused_batches_total', 'problem'],
      ...['since_confirmation_seconds', 'uplink_events_total', 'window_batches'],
    ])
    expect((await fetch(url.replace('/metrics', '/'))).status).toBe(404)
    expect(
      (await fetch(url, { headers: { origin: 'http://evil.example' } })).headers.get('access-control-allow-origin'),
    ).toBeNull()
    // whatever the umask of whoever started it, nobody else reads along
    const modeOf = (name: string) => (statSync(join(folder, 'data', name)).mode & 0o777).toString(8)
    expect(['outbox', 'outbox/raw'].map(modeOf)).toEqual(['700', '700'])
    expect(['lock', 'outbox/epoch.json'].map(modeOf)).toEqual(['600', '600'])
    const second = await edge('--config', path)
    expect(second.code).toBe(2)
    expect(second.output).toContain(`is in use by process ${agent.pid}`)
  } finally {
    const started = performance.now()
    expect(await agent.stop()).toBe(0)
    expect(performance.now() - started).toBeLessThan(5_000)
  }
  const epochFile = readFileSync(join(folder, 'data/outbox/epoch.json'), 'utf8')
  const status = await edge('outbox', 'status', '--config', path)
  expect(status.code).toBe(0)
  const before = JSON.parse(status.output)
  // on another box it tells of what is there, and begins nothing
  writeFileSync(join(folder, 'hardware'), 'box-2\n')
  const elsewhere = await edge('outbox', 'status', '--config', path)
  expect(JSON.parse(elsewhere.output)).toEqual(before)
  expect(readFileSync(join(folder, 'data/outbox/epoch.json'), 'utf8')).toBe(epochFile)
  writeFileSync(join(folder, 'hardware'), 'box-1\n')
  expect(before).toMatchObject({ hardwareId: 'box-1', ledger: null })
  expect(before.classes.raw.unconfirmed).toBeGreaterThan(0)
  const ledger = '6f1c1b1e-0000-4000-8000-000000000001'
  const reset = JSON.parse((await edge('outbox', 'reset', '--config', path, '--ledger', ledger)).output)
  expect(reset.epoch).not.toBe(before.epoch)
  expect(reset.ledger).toBe(ledger)
  expect(reset.classes).toEqual(before.classes)
})

test('outbox status makes nothing where there is no outbox, and says so', async () => {
  const { code, output } = await edge('outbox', 'status', '--config', siteFile())
  expect(code).toBe(2)
  expect(output).toMatch(/there is no outbox in .*data\/outbox/)
  expect(existsSync(join(folder, 'data/outbox'))).toBe(false)
})

test.each([
  ['missing', null, /hardware.*cannot be read \(ENOENT\).*hardwareIdFile/],
  ['empty', ' \n', /hardware.*is empty.*hardwareIdFile/],
])(
  'a hardware id file that is %s is an error of the configuration, and no other id is taken',
  async (_, content, text) => {
    const path = siteFile()
    if (content === null) rmSync(join(folder, 'hardware'))
    else writeFileSync(join(folder, 'hardware'), content)
    const { code, output } = await edge('--config', path)
    expect(output).toMatch(text)
    expect(code).toBe(2)
    expect(existsSync(join(folder, 'data/hardware-id'))).toBe(false)
    expect(existsSync(join(folder, 'data/outbox'))).toBe(false)
  },
)

test('an unknown level of the log is an error of the configuration that names the levels', async () => {
  vi.stubEnv('PENSTOCK_LOG', 'loud')
  const { code, output } = await edge('--config', siteFile())
  vi.unstubAllEnvs()
  expect(output).toBe('PENSTOCK_LOG is "loud"; write one of: debug, info, warn, error, silent')
  expect(code).toBe(2)
})

test('a missing password file is an error of the configuration', async () => {
  const path = siteFile(text => text.replace('"mqtt://127.0.0.1:1"]', '"mqtt://127.0.0.1:1"], passwordFile: nowhere'))
  const { code, output } = await edge('--config', path)
  expect(code).toBe(2)
  expect(output).toContain('nowhere cannot be read (ENOENT)')
})
