import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { systemTicker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { Link, LinkOptions } from '@penstock/core/runtime/link.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { type MqttOptions, mqttConnector } from '@penstock/core/runtime/mqtt-link.ts'
import { Aedes } from 'aedes'
import { afterEach, describe, expect, test } from 'vitest'
import { ManualTime } from '../../support/manual-time.ts'

const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function listen(server: net.Server): Promise<string> {
  const sockets = new Set<net.Socket>()
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise(resolve => server.close(resolve))
  })
  return `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A broker of MQTT 3.1.1 only. */
async function broker(): Promise<{ url: string; aedes: Aedes; versions: number[] }> {
  const aedes = await Aedes.createBroker({ drainTimeout: 3000 })
  const versions: number[] = []
  aedes.on('client', client => versions.push((client as unknown as { version: number }).version))
  const url = await listen(net.createServer({ noDelay: true }, socket => aedes.handle(socket)))
  cleanups.push(() => new Promise<void>(resolve => aedes.close(() => resolve())))
  return { url, aedes, versions }
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

const optionsFor = (urls: string[], more: Partial<MqttOptions> = {}): MqttOptions => ({
  urls,
  username: null,
  password: null,
  ca: null,
  protocol: 'auto',
  keepaliveS: 30,
  log: silentLogger,
  ticker: systemTicker,
  ...more,
})

function linkOptions(clientId: string, heard: string[] = [], signal = new AbortController().signal): LinkOptions {
  return {
    clientId,
    will: { topic: `will/${clientId}`, payload: utf8('gone'), qos: 1, retain: false },
    onMessage: (topic, payload, { retain }) => heard.push(`${topic}=${Buffer.from(payload)}${retain ? ' r' : ''}`),
    signal,
  }
}

async function open(urls: string[], clientId: string, heard?: string[], more?: Partial<MqttOptions>): Promise<Link> {
  const link = await mqttConnector(optionsFor(urls, more))(linkOptions(clientId, heard))
  cleanups.push(() => link.close())
  return link
}

const problemOf = async (promise: Promise<unknown>): Promise<PenstockError> => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof PenstockError)) throw new Error(`not a PenstockError: ${String(error)}`)
  return error
}

describe('over aedes, MQTT 3.1.1', () => {
  test('falls back to 3.1.1, subscribes, publishes, hears in order', async () => {
    const { url, versions } = await broker()
    const heard: string[] = []
    const reader = await open([url], 'reader', heard)
    await reader.subscribe(['a/#', 'b/+'], 1)
    const writer = await open([url], 'writer')
    for (let n = 0; n < 200; n++) writer.publish('a/n', utf8(String(n)), { qos: 0, retain: false })
    await writer.publishConfirmed('b/x', utf8('last'), { retain: false })
    await expect.poll(() => heard.length).toBe(201)
    expect(heard).toEqual([...Array.from({ length: 200 }, (_, n) => `a/n=${n}`), 'b/x=last'])
    expect(versions).toEqual([4, 4])
  })

  test('remembers that the broker refuses MQTT 5', async () => {
    const { aedes, url } = await broker()
    let connections = 0
    aedes.preConnect = (_client, _packet, done) => {
      connections++
      done(null, true)
    }
    const connectLink = mqttConnector(optionsFor([url]))
    const before: number[] = []
    for (let n = 0; n < 3; n++) {
      const link = await connectLink(linkOptions('again'))
      await link.close()
      before.push(connections)
    }
    // refused once with 5, then only 3.1.1
    expect(before).toEqual([2, 3, 4])
  })

  test('a retained message says so', async () => {
    const { url } = await broker()
    const writer = await open([url], 'writer')
    await writer.publishConfirmed('state', utf8('on'), { retain: true })
    const heard: string[] = []
    const reader = await open([url], 'reader', heard)
    await reader.subscribe(['state'], 1)
    await expect.poll(() => heard).toEqual(['state=on r'])
  })

  test.each([true, false])('close with will %s', async withWill => {
    const { url } = await broker()
    const heard: string[] = []
    const reader = await open([url], 'reader', heard)
    await reader.subscribe(['#'], 1)
    const leaver = await open([url], 'leaver')
    leaver.publish('last', utf8('words'), { qos: 0, retain: false })
    await leaver.close({ withWill })
    expect(await leaver.ended).toBe('closed')
    const marker = await open([url], 'marker')
    await marker.publishConfirmed('marker', utf8('1'), { retain: false })
    await expect.poll(() => heard).toContain('marker=1')
    expect(heard.includes('will/leaver=gone')).toBe(withWill)
    expect(heard).toContain('last=words')
  })

  test('a refused user is broker-refused, without the password', async () => {
    const { url, aedes } = await broker()
    aedes.authenticate = (_client, _user, _password, done) =>
      done(Object.assign(new Error('no'), { returnCode: 4 as const }), null)
    const address = url.replace('mqtt://', 'mqtt://e01:hunter2@')
    const connectLink = mqttConnector(optionsFor([address], { username: 'e01', password: 'hunter2', protocol: 4 }))
    const error = await problemOf(connectLink(linkOptions('x')))
    expect(error.code).toBe('broker-refused')
    expect(error.message).toContain('"e01"')
    expect(error.message).toContain('wrong user name or password')
    expect(JSON.stringify(error.details) + error.message).not.toContain('hunter2')
  })

  test('a refused filter rejects', async () => {
    const { url, aedes } = await broker()
    aedes.authorizeSubscribe = (_client, subscription, done) =>
      done(null, subscription.topic === 'no' ? null : subscription)
    const link = await open([url], 'x')
    await link.subscribe(['yes'], 1)
    expect((await problemOf(link.subscribe(['yes2', 'no'], 1))).code).toBe('broker-refused')
  })

  test('when the broker goes, ended resolves, what waits rejects, publishing does nothing', async () => {
    const { url, aedes } = await broker()
    // never acknowledged
    aedes.authorizePublish = () => {}
    const link = await open([url], 'x')
    const waits = problemOf(link.publishConfirmed('a', utf8('1'), { retain: false }))
    for (const client of Object.values(
      (aedes as unknown as { clients: Record<string, { conn: net.Socket }> }).clients,
    )) {
      client.conn.destroy()
    }
    expect(await link.ended).toMatch(/closed|ECONNRESET/)
    expect((await waits).code).toBe('broker-unreachable')
    link.publish('a', utf8('2'), { qos: 0, retain: false })
    expect(link.queuedBytes).toBe(0)
    expect((await problemOf(link.subscribe(['a'], 0))).code).toBe('broker-unreachable')
    expect((await problemOf(link.publishConfirmed('a', utf8('1'), { retain: false }))).code).toBe('broker-unreachable')
    await link.close()
    await link.close()
  })
})

describe('brokers that do not answer', () => {
  test('nobody listens: broker-unreachable with the cause', async () => {
    const server = net.createServer()
    const url = await listen(server)
    await new Promise(resolve => server.close(resolve))
    const error = await problemOf(mqttConnector(optionsFor([url]))(linkOptions('x')))
    expect(error.code).toBe('broker-unreachable')
    expect(error.message).toContain('ECONNREFUSED')
  })

  test('the list of URLs is walked, one per call', async () => {
    const server = net.createServer()
    const dead = await listen(server)
    await new Promise(resolve => server.close(resolve))
    const { url } = await broker()
    const connectLink = mqttConnector(optionsFor([dead, url]))
    expect((await problemOf(connectLink(linkOptions('x')))).code).toBe('broker-unreachable')
    const link = await connectLink(linkOptions('x'))
    await link.close()
    expect((await problemOf(connectLink(linkOptions('x')))).code).toBe('broker-unreachable')
  })

  test('one that accepts and says nothing: given up after ten seconds; an abort is quicker', async () => {
    const url = await listen(net.createServer(socket => socket.resume()))
    const time = new ManualTime()
    const waits = problemOf(mqttConnector(optionsFor([url], { ticker: time }))(linkOptions('x')))
    await time.advance(10_000)
    expect((await waits).message).toContain('no answer')
    const abort = new AbortController()
    const aborted = mqttConnector(optionsFor([url]))(linkOptions('x', [], abort.signal))
    abort.abort(new Error('stopped'))
    await expect(aborted).rejects.toThrow('stopped')
    await expect(mqttConnector(optionsFor([url]))(linkOptions('x', [], abort.signal))).rejects.toThrow('stopped')
  })

  test('one that hangs up on MQTT 5 gets 3.1.1, and is asked for 5 again next time', async () => {
    const { aedes } = await broker()
    const versions: number[] = []
    const url = await listen(
      net.createServer(socket => {
        socket.once('data', first => {
          const version = first[8] ?? 0
          versions.push(version)
          if (version === 5) return socket.destroy()
          socket.unshift(first)
          aedes.handle(socket)
        })
      }),
    )
    const connectLink = mqttConnector(optionsFor([url]))
    for (let n = 0; n < 2; n++) await (await connectLink(linkOptions('x'))).close()
    expect(versions).toEqual([5, 4, 5, 4])
  })

  test('one that answers nonsense: broker-unreachable', async () => {
    const url = await listen(
      net.createServer(socket => socket.on('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))),
    )
    expect((await problemOf(mqttConnector(optionsFor([url]))(linkOptions('x')))).code).toBe('broker-unreachable')
  })

  test('a half-open connection does not hold up close for more than three seconds', async () => {
    let cut = false
    const { aedes } = await broker()
    const url = await listen(
      net.createServer({ allowHalfOpen: true }, socket => {
        const inner = net.connect({ port: (back.address() as AddressInfo).port, host: '127.0.0.1' })
        inner.on('error', () => {})
        cleanups.push(() => inner.destroy())
        socket.on('data', data => cut || inner.write(data))
        inner.on('data', data => cut || socket.write(data))
      }),
    )
    const back = net.createServer(socket => aedes.handle(socket))
    await listen(back)
    const time = new ManualTime()
    const link = await open([url], 'x', [], { ticker: time, protocol: 4 })
    cut = true
    const confirmed = problemOf(link.publishConfirmed('a', utf8('1'), { retain: false }))
    const closing = link.close()
    await time.advance(3000)
    await closing
    expect((await confirmed).code).toBe('broker-unreachable')
  })
})
