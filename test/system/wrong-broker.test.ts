import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { components } from '@penstock/console/generated/api.ts'
import { afterEach, describe, expect, it } from 'vitest'
import { aclFor, freePort, mosquitto, penstock } from '../support/processes.ts'
import { demoEdges, until, World } from '../support/world.ts'

type Schemas = components['schemas']

const edgesOf = async (world: World) => (await world.api<Schemas['EdgeList']>('/api/v1/edges')).edges
const edgeOf = async (world: World, key: string) => (await edgesOf(world)).find(edge => edge.edge === key)
const waiting = (edge: Schemas['Edge'] | undefined) =>
  edge?.backlog ? edge.backlog.alarm + edge.backlog.total + edge.backlog.raw : null

describe.skipIf(!mosquitto)('a broker with wrong rights', () => {
  let world: World | undefined
  afterEach(() => world?.close())

  it('is told by the edge: a refused password, and an access list that swallows what the gateway confirms', async () => {
    const groups = ['320706', '320707']
    const withoutCommands = aclFor(demoEdges, groups, 'penstock').filter(
      line => !line.startsWith('topic write spBv1.0/320706/NCMD'),
    )
    const city = await World.open({ broker: 'mosquitto-5', scenario: 'calm-day', acl: withoutCommands })
    world = city
    await city.startSimulator()
    await city.startBroker()
    await city.startGateway()
    const wrong = join(city.folder, 'wrong')
    mkdirSync(join(wrong, 'secrets'), { recursive: true })
    writeFileSync(join(wrong, 'secrets/e02.password'), 'not-the-password')
    writeFileSync(join(wrong, 'secrets/e02.hardware'), 'e02')
    const e02 = await penstock('edge', ['--config', 'demo/e02.yaml'], { env: { ...city.env, PENSTOCK_DATA: wrong } })
    city.running.set('e02', e02)
    const e01 = await city.startEdge('e01')
    await until('the refusal in words', 30_000, () =>
      /refused user \\?"e02\\?"/.test(e02.output()) ? true : undefined,
    )
    expect(e02.output()).not.toContain('not-the-password')
    await until('the access list named', 90_000, () =>
      e01.output().includes("does the broker's ACL let") ? true : undefined,
    )
    // Nothing was forgotten meanwhile.
    const edge = await edgeOf(city, '320706/e01')
    expect(edge?.online).toBe(true)
    await city.stopBroker()
    await city.startBroker(aclFor(demoEdges, groups, 'penstock'))
    await until('e01 confirmed and drained with the right access list', 90_000, async () =>
      waiting(await edgeOf(city, '320706/e01')) === 0 ? true : undefined,
    )
    expect((await edgeOf(city, '320706/e01'))?.lostBatches).toBe(0)
  }, 240_000)
})

describe.skipIf(!mosquitto)('a second gateway on the same broker', () => {
  let world: World | undefined
  afterEach(() => world?.close())

  it('is noticed by both and obeyed by nobody; when it is gone everything goes on and nothing was lost', async () => {
    const city = await World.open({ broker: 'mosquitto-5', scenario: 'calm-day' })
    world = city
    await city.startAll()
    await until('e01 confirmed', 30_000, async () => {
      const edge = await edgeOf(city, '320706/e01')
      return edge?.lagMs != null ? true : undefined
    })
    const data = join(city.folder, 'second')
    mkdirSync(join(data, 'secrets'), { recursive: true })
    writeFileSync(join(data, 'secrets/gateway.password'), readFileSync(join(city.folder, 'secrets/gateway.password')))
    const second = await penstock('gateway', ['--config', 'demo/gateway.yaml'], {
      env: { ...city.env, PENSTOCK_DATA: data, PENSTOCK_HTTP_PORT: String(await freePort()) },
    })
    await until('the first says so', 60_000, async () => {
      const { problems } = await city.api<Schemas['Status']>('/api/v1/status')
      return problems.some(problem => problem.includes('another gateway runs under this host id')) ? true : undefined
    })
    await second.stop()
    await until('drained', 120_000, async () => {
      const edges = await edgesOf(city)
      return edges.every(edge => edge.problem === null && waiting(edge) === 0) ? true : undefined
    })
    expect((await edgesOf(city)).map(edge => edge.lostBatches)).toEqual([0, 0])
  }, 200_000)
})
