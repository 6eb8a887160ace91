import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { components } from '@penstock/console/generated/api.ts'
import { systemTicker } from '@penstock/core/runtime/clock.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { mqttConnector } from '@penstock/core/runtime/mqtt-link.ts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mosquitto, penstock, run, temporaryFolder } from '../support/processes.ts'
import { until, World } from '../support/world.ts'

type Schemas = components['schemas']

const edgesOf = async (world: World) => (await world.api<Schemas['EdgeList']>('/api/v1/edges')).edges
const edgeOf = async (world: World, key: string) => (await edgesOf(world)).find(edge => edge.edge === key)
const tagOf = (world: World, tag: string) => world.api<Schemas['Tag']>(`/api/v1/tags/${tag}`)
const waiting = (edge: Schemas['Edge'] | undefined) =>
  edge?.backlog ? edge.backlog.alarm + edge.backlog.total + edge.backlog.raw : null

describe('a file with mistakes', () => {
  const folder = temporaryFolder()
  afterAll(() => folder.remove())
  const write = (name: string, text: string) => {
    const path = join(folder.path, name)
    writeFileSync(path, text)
    return path
  }

  it('of an edge is refused with exit code 2 and every mistake at its place', async () => {
    const path = write(
      'site.yaml',
      [
        'edge: { group: g, id: e }',
        'host: penstock',
        'broker: { urls: ["mqtt://127.0.0.1:1"], usrname: x }',
        'channels:',
        '  - { id: ch, driver: modbus, host: 127.0.0.1 }',
        'devices:',
        '  - { site: a, id: fm-1, channel: chh, unitId: 1, profile: mfe600c }',
        '  - { site: a, id: fm-1, channel: ch, unitId: 2, profile: mfe60c }',
      ].join('\n'),
    )
    for (const check of [['--check'], []]) {
      const { code, output } = await run(['edge/src/cli.ts', '--config', path, ...check])
      expect(code, output).toBe(2)
      expect(output).toContain(`${path}:3:41: unknown key "usrname"; did you mean "username"?`)
      expect(output).toContain(`${path}:7:35: there is no channel "chh"; did you mean "ch"?`)
      expect(output).toContain(`${path}:8:20: the device "a/fm-1" stands twice`)
      expect(output).toContain(`${path}:8:59: there is no profile "mfe60c"; did you mean "mfe600c"?`)
    }
  })

  it('of a gateway, its registry or its rules is refused with exit code 2', async () => {
    const good = 'gateway: { hostId: penstock, groups: [g], data: gw }\nbroker: { urls: ["mqtt://127.0.0.1:1"] }\n'
    write('users.yaml', 'users: []\n')
    write(
      'registry.yaml',
      'groups:\n  - { id: g, name: { zh: 组, en: group } }\nsites:\n  - { id: s, group: h, kind: water, name: { zh: 站, en: site } }\n',
    )
    const gateway = write('gateway.yaml', good)
    const registry = await run(['gateway/src/cli.ts', '--config', gateway, '--check'])
    expect(registry.code, registry.output).toBe(2)
    expect(registry.output).toContain('registry.yaml:4:21: there is no group "h"')

    write('registry.yaml', 'groups: [{ id: g, name: { zh: 组, en: group } }]\n')
    expect((await run(['gateway/src/cli.ts', '--config', gateway, '--check'])).code).toBe(0)

    write('rules.yaml', 'version: 1\nrules:\n  - { id: x, kind: limt }\n')
    const rules = await run([
      'gateway/src/cli.ts',
      '--config',
      write('g2.yaml', `${good}rules: [rules.yaml]\n`),
      '--check',
    ])
    expect(rules.code, rules.output).toBe(2)
    expect(rules.output).toMatch(/rules\.yaml:3:\d+: .*limt.*did you mean "limit"/)

    const open = await run([
      'gateway/src/cli.ts',
      '--config',
      write('g3.yaml', `${good}http: { host: 0.0.0.0 }\n`),
      '--check',
    ])
    expect(open.code, open.output).toBe(2)
    expect(open.output).toContain('is reachable from outside; give "tls"')
  })

  it('that is no YAML at all is refused with its place', async () => {
    const { code, output } = await run(['edge/src/cli.ts', '--config', write('broken.yaml', 'edge: [\n'), '--check'])
    expect(code).toBe(2)
    expect(output).toMatch(/broken\.yaml:\d+:\d+: not valid YAML/)
  })

  it('and a port in use say what to do', async () => {
    const server = createServer()
    const port = await new Promise<number>(done =>
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        done(typeof address === 'object' && address ? address.port : 0)
      }),
    )
    write('registry.yaml', 'groups: [{ id: g, name: { zh: 组, en: group } }]\n')
    const path = write(
      'gateway-port.yaml',
      `gateway: { hostId: penstock, groups: [g], data: gw-port }\nbroker: { urls: ["mqtt://127.0.0.1:1"] }\nhttp: { port: ${port} }\n`,
    )
    const gateway = await run(['gateway/src/cli.ts', '--config', path])
    expect(gateway.code, gateway.output).toBe(2)
    expect(gateway.output).toContain(`port ${port} on 127.0.0.1 is in use`)
    const start = await run(['scripts/start.ts', '--port', String(port), '--data', join(folder.path, 'data')])
    expect(start.code).toBe(2)
    expect(start.output).toContain(
      `port ${port} on 127.0.0.1 is in use; stop the other program or choose another port with --port`,
    )
    server.close()
  })
})

describe.skipIf(!mosquitto)('a city where something is wrong', () => {
  let world: World
  beforeAll(async () => {
    world = await World.open({ broker: 'mosquitto-5', scenario: 'chlorine-leak' })
    // Nobody registered e02.
    const registry = join(world.folder, 'registry.yaml')
    writeFileSync(registry, readFileSync(registry, 'utf8').replace(/^.*id: e02.*$/m, ''))
    await world.startSimulator()
    await world.startBroker()
    await world.startGateway()
    // The box of e01 has a clock six hours behind.
    const clock = join(world.folder, 'six-hours-behind.json')
    const monotonic = Number(process.hrtime.bigint() / 1000n) / 1000
    writeFileSync(clock, JSON.stringify({ v0: Date.now() - 6 * 3_600_000, m0: monotonic, factor: 1 }))
    world.running.set(
      'e01',
      await penstock('edge', ['--config', 'demo/e01.yaml', '--clock', clock], { env: world.env }),
    )
    await world.startEdge('e02')
  }, 60_000)
  afterAll(() => world?.close())

  it('shows an edge that nobody registered, keeps its data there, and takes all of it in once it is adopted', async () => {
    const unknown = await until('e02 shown as unknown', 20_000, async () => {
      const edge = await edgeOf(world, '320707/e02')
      return edge?.problem === 'unknown-edge' ? edge : undefined
    })
    expect(unknown.registered).toBe(false)
    expect((await tagOf(world, 'printing/fm-1/total')).quality).toBe('good')
    const { readings: before } = await world.api<Schemas['ReadingList']>(
      '/api/v1/readings?tag=printing/fm-1/total&from=0&to=9999999999999&limit=1000',
    )
    expect(before).toEqual([])
    await world.api('/api/v1/edges/320707/e02/adopt', { hardwareId: unknown.hardwareId, commandId: 'adopt-e02-once' })
    await until('e02 confirmed and drained', 20_000, async () => {
      const edge = await edgeOf(world, '320707/e02')
      return edge?.registered && edge.problem === null && waiting(edge) === 0 ? true : undefined
    })
    await until('its readings in the historian', 30_000, async () => {
      const { readings } = await world.api<Schemas['ReadingList']>(
        '/api/v1/readings?tag=printing/fm-1/total&from=0&to=9999999999999&limit=1000',
      )
      return readings.length > 1 ? true : undefined
    })
  }, 90_000)

  it('raises the alarm at once though the clock of the edge is six hours off, and shows the skew', async () => {
    await until('an active chlorine alarm', 120_000, async () => {
      const { alarms } = await world.api<Schemas['AlarmList']>('/api/v1/alarms')
      return alarms.find(alarm => alarm.source.includes('cl2') && alarm.active)
    })
    const skew = (await edgeOf(world, '320706/e01'))?.skewMs ?? 0
    expect(Math.abs(skew - 6 * 3_600_000)).toBeLessThan(5000)
  }, 130_000)

  it('takes no harm from garbage, cut and hostile payloads on its topics', async () => {
    const password = readFileSync(join(world.folder, 'secrets/e01.password'), 'utf8')
    const connect = mqttConnector({
      urls: [`mqtt://127.0.0.1:${world.brokerPort}`],
      username: 'e01',
      password,
      ca: null,
      protocol: 5,
      keepaliveS: 30,
      log: silentLogger,
      ticker: systemTicker,
    })
    const link = await connect({
      clientId: 'somebody-with-a-stolen-password',
      will: { topic: 'spBv1.0/320706/NDEATH/e01', payload: new Uint8Array(), qos: 1, retain: false },
      onMessage: () => {},
      signal: new AbortController().signal,
    })
    const payloads = [
      new Uint8Array(),
      randomBytes(1000),
      Buffer.from('08ffffffffffffffffff01', 'hex'),
      Buffer.from('12ffffffff0f', 'hex'),
      Buffer.from(`12${'05120312'.repeat(2000)}`, 'hex'),
    ]
    for (const topic of [
      'DDATA/e01/waterworks:fm-1',
      'NDATA/e01',
      'DBIRTH/e01/nobody',
      'DDATA/e01/ /x',
      'DDEATH/e01/nobody',
    ]) {
      for (const payload of payloads) link.publish(`spBv1.0/320706/${topic}`, payload, { qos: 0, retain: false })
    }
    await link.publishConfirmed('spBv1.0/320706/NDATA/e01', Buffer.from('not protobuf'), { retain: false })
    await link.close()
    const seen = await tagOf(world, 'waterworks/fm-1/total')
    await until('values that go on after the garbage', 30_000, async () => {
      const now = await tagOf(world, 'waterworks/fm-1/total')
      return now.quality === 'good' && now.sourceTimestamp > seen.sourceTimestamp ? true : undefined
    })
    expect(world.running.get('gateway')?.output()).toMatch(/payload|garbage|malformed/i)
  }, 60_000)

  it('marks what a device answers in nonsense as bad with its reason, and reads the others on', async () => {
    await world.control('POST', '/faults', { fault: { kind: 'garbage', site: 'printing' }, forMs: null })
    const bad = await until('the meter bad', 60_000, async () => {
      const tag = await tagOf(world, 'printing/fm-1/total')
      return tag.quality === 'bad' ? tag : undefined
    })
    expect(bad.value).toBeNull()
    expect(['protocol', 'timeout', 'unreachable', 'device-offline']).toContain(bad.reason)
    expect(bad.lastGood).not.toBeNull()
    expect((await tagOf(world, 'cold-store/nh3-1/concentration')).quality).toBe('good')
    const device = await world.api<Schemas['Device']>('/api/v1/devices/printing/fm-1')
    expect(device.diagnosis?.lastError?.text).toBeTruthy()
    await world.control('DELETE', '/faults')
    await until('the meter good again', 90_000, async () =>
      (await tagOf(world, 'printing/fm-1/total')).quality === 'good' ? true : undefined,
    )
  }, 160_000)
})
