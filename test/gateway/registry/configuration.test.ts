import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemTicker } from '@penstock/core/runtime/clock.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import type { InboxEntry } from '@penstock/gateway/ingest/record.ts'
import { Configuration } from '@penstock/gateway/registry/configuration.ts'
import { Store } from '@penstock/gateway/store/store.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualTime } from '../../support/manual-time.ts'

const registry = (name: string) => `
groups: [{ id: "320706", name: { zh: 海州区, en: Haizhou } }]
sites: [{ id: waterworks, group: "320706", name: { zh: 水厂, en: ${name} }, kind: water }]
edges: [{ group: "320706", id: e01 }]
`
const users = 'users: []\n'

let folder: string
let store: Store
let time: ManualTime
let entries: InboxEntry[]
let commits: number
let configuration: Configuration | undefined

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'penstock-registry-'))
  store = await Store.open(join(folder, 'store.sqlite'))
  time = new ManualTime(1000)
  entries = []
  commits = 0
  write('registry.yaml', registry('Waterworks'))
  write('users.yaml', users)
})
afterEach(async () => {
  await configuration?.close()
  configuration = undefined
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

const write = (name: string, text: string) => writeFileSync(join(folder, name), text)

async function open(ticker = time as ManualTime | typeof systemTicker): Promise<Configuration> {
  await configuration?.close()
  configuration = await Configuration.open({
    file: { registry: join(folder, 'registry.yaml'), rules: [], users: join(folder, 'users.yaml') },
    store,
    clock: time,
    ticker,
    log: silentLogger,
  })
  await configuration.publish({
    append: entry => entries.push(entry) - 1,
    commit: async () => {
      commits++
    },
  })
  return configuration
}

const registryEntries = () => entries.filter(entry => entry.kind === 'config' && entry.what === 'registry')

describe('configuration', () => {
  it('takes effect through the inbox, once, also over restarts', async () => {
    const opened = await open()
    expect(registryEntries()).toHaveLength(1)
    expect(commits).toBeGreaterThan(0)
    expect(opened.names.site('waterworks')?.name.en).toBe('Waterworks')
    await open()
    expect(registryEntries()).toHaveLength(1)
  })

  it('does nothing for an identical file, nor for other comments and white space', async () => {
    const opened = await open()
    const before = entries.length
    write('registry.yaml', `# a comment\n${registry('Waterworks').replace('kind: water', '   kind:   water')}\n`)
    const results = await opened.reload()
    expect(results.map(result => result.status)).toEqual(['unchanged', 'unchanged', 'unchanged'])
    expect(entries).toHaveLength(before)
  })

  it('applies a changed file and tells listeners', async () => {
    const opened = await open()
    const heard: unknown[] = []
    opened.onReload(results => heard.push(results))
    write('registry.yaml', registry('New name'))
    const [result] = await opened.reload()
    expect(result).toMatchObject({ what: 'registry', status: 'applied', problem: null })
    expect(opened.names.site('waterworks')?.name.en).toBe('New name')
    expect(registryEntries()).toHaveLength(2)
    expect(registryEntries().at(-1)).toMatchObject({ hash: result?.hash })
    expect(heard).toHaveLength(1)
  })

  it('refuses a broken file with file, line and column; the old one stays, until the file is mended', async () => {
    const opened = await open()
    write('registry.yaml', registry('X').replace('kind: water', 'kind: fire'))
    const [result] = await opened.reload()
    expect(result?.status).toBe('refused')
    expect(opened.names.site('waterworks')?.name.en).toBe('Waterworks')
    expect(opened.status[0]?.problem).toMatch(/registry\.yaml:3:\d+/)
    expect(registryEntries()).toHaveLength(1)
    write('registry.yaml', registry('Waterworks'))
    await opened.reload()
    expect(opened.status[0]?.problem).toBeNull()
    expect(registryEntries()).toHaveLength(1)
  })

  it('starts with what was in effect before when the file is broken, and does not start without', async () => {
    write('registry.yaml', 'groups: 7\n')
    await expect(open()).rejects.toMatchObject({ code: 'config-invalid' })
    write('registry.yaml', registry('Waterworks'))
    await open()
    write('registry.yaml', 'groups: 7\n')
    const opened = await open()
    expect(opened.names.site('waterworks')?.name.en).toBe('Waterworks')
    expect(opened.status[0]?.problem).toMatch(/registry\.yaml/)
  })

  it('runs without a users file and reads it when it is there', async () => {
    rmSync(join(folder, 'users.yaml'))
    const opened = await open()
    expect(opened.users.users).toEqual([])
    expect(opened.status[2]?.problem).toMatch(/users\.yaml/)
    write('users.yaml', 'users: [{ id: wang, name: 王, role: operator, password: "scrypt$x" }]\n')
    await opened.reload()
    expect(opened.users.users).toHaveLength(1)
    // No secret gets into the inbox.
    expect(JSON.stringify(entries)).not.toContain('scrypt')
  })

  it('notices a file that an editor puts in the place of the old one', async () => {
    const opened = await open(systemTicker)
    write('new.yaml', registry('By editor'))
    renameSync(join(folder, 'new.yaml'), join(folder, 'registry.yaml'))
    await expect.poll(() => opened.names.site('waterworks')?.name.en, { timeout: 5000 }).toBe('By editor')
  })

  it('keeps bindings of boxes in the store', async () => {
    const opened = await open()
    expect(opened.edge('320706', 'e01')).toMatchObject({ hardwareId: null })
    expect(opened.edge('320706', 'e99')).toBeNull()
    opened.bindHardware('320706/e01', 'box-1')
    expect(opened.boundHardware('320706/e01')).toBe('box-1')
    expect(opened.groupOfSite('waterworks')).toBe('320706')
    expect(opened.groupOfSite('nowhere')).toBeNull()
  })
})
