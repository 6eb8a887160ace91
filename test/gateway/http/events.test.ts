import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { eventSchemas } from '@penstock/gateway/http/contract/events.ts'
import { Compile } from 'typebox/compile'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualTime } from '../../support/manual-time.ts'
import { alarm, EventReader, edge, registryText, TestServer, tokenOf } from './support.ts'

const flow = 'waterworks/fm-1/flow'

let server: TestServer
let ticker: ManualTime
const stops: AbortController[] = []
beforeEach(async () => {
  ticker = new ManualTime()
  server = await TestServer.open({ ticker })
})
afterEach(async () => {
  for (const stop of stops.splice(0)) stop.abort()
  await server.close()
})

async function follow(on = server, headers: Record<string, string> = {}, token: string | null = tokenOf('viewer')) {
  const stop = new AbortController()
  stops.push(stop)
  const response = await fetch(`${on.url}/api/v1/events`, {
    headers: { ...(token === null ? {} : { Authorization: `Bearer ${token}` }), ...headers },
    signal: stop.signal,
  })
  return { response, reader: new EventReader(response) }
}

const soon = { timeout: 5_000, interval: 10 }

/** Lets the hub collect and waits until `count` events of a name are there, as the contract says. */
async function expectEvents(reader: EventReader, name: keyof typeof eventSchemas, count: number) {
  await expect.poll(() => reader.of(name).length, soon).toBe(count)
  for (const event of reader.of(name)) expect([...Compile(eventSchemas[name]).Errors(event.data)]).toEqual([])
  return reader.of(name)
}

describe('event stream', () => {
  it('begins with hello and sends what changes, each tag once a quarter of a second', async () => {
    server.setTag(flow, 1)
    const { response, reader } = await follow()
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
    const [hello] = await expectEvents(reader, 'hello', 1)
    expect(hello?.data.snapshot).toBe(server.live.version)
    for (let value = 2; value < 50; value++) server.setTag(flow, value)
    server.setTag('waterworks/fm-2/flow', 7)
    await ticker.advance(250)
    const [tags] = await expectEvents(reader, 'tags', 1)
    expect(tags?.data.tags).toMatchObject([
      { tag: flow, value: 49 },
      { tag: 'waterworks/fm-2/flow', value: 7 },
    ])
    expect(tags?.data.snapshot).toBe(server.live.version)
    await ticker.advance(1000)
    server.setTag(flow, 50)
    await ticker.advance(250)
    const later = await expectEvents(reader, 'tags', 2)
    expect(later[1]?.data.tags).toMatchObject([{ tag: flow, value: 50 }])
  })

  it('sends alarms at once, not with the next values', async () => {
    const { reader } = await follow()
    await expectEvents(reader, 'hello', 1)
    server.alarms.alarms.set('a', alarm('a', {}))
    for (const listener of server.alarms.listeners) listener(['a'])
    await ticker.advance(20)
    await expectEvents(reader, 'alarms', 1)
  })

  it('sends alarms that changed, also those that are over', async () => {
    const { reader } = await follow()
    await expectEvents(reader, 'hello', 1)
    server.alarms.alarms.set('a', alarm('a', { state: 'NORMAL', active: false, acknowledged: true }))
    for (const listener of server.alarms.listeners) listener(['a', 'gone'])
    await ticker.advance(250)
    const [event] = await expectEvents(reader, 'alarms', 1)
    expect(event?.data.alarms).toMatchObject([{ id: 'a', state: 'NORMAL' }])
  })

  it('sends edges that changed, but not for their delay alone', async () => {
    const { reader } = await follow()
    await expectEvents(reader, 'hello', 1)
    server.edges[0] = edge('e01', { lagMs: 99, skewMs: 5 })
    await ticker.advance(2_000)
    server.edges[0] = edge('e01', { online: false })
    await ticker.advance(1_000)
    const [event] = await expectEvents(reader, 'edges', 1)
    expect(event?.data.edges).toMatchObject([{ edge: '320706/e01', online: false }])
  })

  it('tells of a reload', async () => {
    const { reader } = await follow()
    await expectEvents(reader, 'hello', 1)
    writeFileSync(join(server.folder, 'registry.yaml'), registryText('Another name'))
    await server.configuration.reload()
    const [event] = await expectEvents(reader, 'reload', 1)
    expect(event?.data.results).toMatchObject([{ what: 'registry', status: 'applied' }, {}, {}])
  })

  it('beats every 10 s, so that a dead connection is noticed', async () => {
    const { reader } = await follow()
    await expectEvents(reader, 'hello', 1)
    await ticker.advance(9_500)
    expect(reader.comments).toBe(0)
    await ticker.advance(1_000)
    await expect.poll(() => reader.comments, soon).toBe(1)
    await ticker.advance(10_000)
    await expect.poll(() => reader.comments, soon).toBe(2)
  })

  it('tells who comes back to read everything again', async () => {
    const { reader } = await follow(server, { 'Last-Event-ID': '17' })
    await expectEvents(reader, 'hello', 1)
    expect(reader.events.map(event => event.event)).toEqual(['resync', 'hello'])
  })

  it('takes the session cookie, and ends with the session', async () => {
    const signedIn = await fetch(server.server.signIn ?? '', { redirect: 'manual' })
    const cookie = (signedIn.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
    const { reader } = await follow(server, { cookie }, null)
    await expectEvents(reader, 'hello', 1)
    await ticker.advance(10_000)
    await expect.poll(() => reader.comments, soon).toBe(1)
    expect(reader.ended).toBe(false)
    server.time.jump(13 * 3_600_000)
    await ticker.advance(10_000)
    await expectEvents(reader, 'resync', 1)
    await expect.poll(() => reader.ended, soon).toBe(true)
  })

  it('is not given without a token', async () => {
    expect((await follow(server, {}, null)).response.status).toBe(401)
  })

  it('ends when the gateway stops, and the gateway does not wait for it', async () => {
    const other = await TestServer.open()
    const { reader } = await follow(other)
    await expectEvents(reader, 'hello', 1)
    await other.close()
    await expect.poll(() => reader.ended, soon).toBe(true)
    expect(reader.of('resync')).toHaveLength(1)
  })

  it('drops a client that does not read, without waiting for it, and others miss nothing', async () => {
    const bounded = await TestServer.open({ ticker, maxUnreadBytes: 200_000 })
    const socket = connect({ port: Number(new URL(bounded.url).port), host: '127.0.0.1' })
    socket.on('error', () => {})
    socket.write(`GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${tokenOf('viewer')}\r\n\r\n`)
    socket.pause()
    const { reader } = await follow(bounded)
    await expectEvents(reader, 'hello', 1)
    await expect.poll(() => bounded.server.hub.stats.clients, soon).toBe(2)
    let rounds = 0
    // The kernel takes some megabytes before the bound counts.
    while (bounded.server.hub.stats.dropped === 0 && rounds < 400) {
      rounds++
      for (let tag = 0; tag < 150; tag++) bounded.setTag(`waterworks/fm-${tag}/flow`, rounds)
      await ticker.advance(250)
      await expect.poll(() => reader.of('tags').length, soon).toBe(rounds)
    }
    expect(bounded.server.hub.stats).toEqual({ clients: 1, dropped: 1, refused: 0 })
    expect(reader.of('resync')).toEqual([])
    // The one that was dropped gets the reason if it ever reads, and its socket goes in any case.
    await ticker.advance(5_000)
    const closed = new Promise(resolve => socket.once('close', resolve))
    let text = ''
    socket.on('data', chunk => {
      text += chunk
    })
    socket.resume()
    await closed
    expect(text.length).toBeGreaterThan(0)
    await bounded.close()
  })
})
