import { systemTicker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { Link } from '@penstock/core/runtime/link.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { mqttConnector } from '@penstock/core/runtime/mqtt-link.ts'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { freePort, mosquitto, type Running, startMosquitto, temporaryFolder } from '../support/processes.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

describe.skipIf(!mosquitto)('over Mosquitto, MQTT 5 (skipped: mosquitto is not on PATH)', () => {
  const { path: folder, remove } = temporaryFolder()
  const links: Link[] = []
  let broker: Running
  let port: number

  beforeAll(async () => {
    port = await freePort()
    broker = await startMosquitto({
      folder,
      port,
      users: { e01: 'secret' },
      acl: ['user e01', 'topic readwrite open/#', 'topic readwrite will/#'],
    })
  })

  afterEach(async () => {
    for (const link of links.splice(0)) await link.close()
  })

  afterAll(async () => {
    await broker?.stop()
    remove()
  })

  async function open(clientId: string, heard: string[] = [], options: { password?: string; protocol?: 4 | 5 } = {}) {
    const { password = 'secret', protocol = 5 } = options
    const connectLink = mqttConnector({
      urls: [`mqtt://127.0.0.1:${port}`],
      username: 'e01',
      password,
      ca: null,
      protocol,
      keepaliveS: 30,
      log: silentLogger,
      ticker: systemTicker,
    })
    const link = await connectLink({
      clientId,
      will: { topic: `will/${clientId}`, payload: utf8('gone'), qos: 1, retain: false },
      onMessage: (topic, payload) => heard.push(`${topic}=${Buffer.from(payload)}`),
      signal: new AbortController().signal,
    })
    links.push(link)
    return link
  }

  test('publishes and hears in order, QoS 0 and 1', async () => {
    const heard: string[] = []
    const reader = await open('reader', heard)
    await reader.subscribe(['open/#'], 1)
    const writer = await open('writer')
    for (let n = 0; n < 500; n++) writer.publish('open/n', utf8(String(n)), { qos: 0, retain: false })
    await writer.publishConfirmed('open/x', utf8('last'), { retain: false })
    await expect.poll(() => heard.length).toBe(501)
    expect(heard).toEqual([...Array.from({ length: 500 }, (_, n) => `open/n=${n}`), 'open/x=last'])
  })

  test.each([
    [5, true],
    [5, false],
    [4, true],
    [4, false],
  ] as const)('version %i, close with will %s', async (protocol, withWill) => {
    const heard: string[] = []
    const reader = await open('reader', heard)
    await reader.subscribe(['open/#', 'will/#'], 1)
    const leaver = await open('leaver', [], { protocol })
    leaver.publish('open/last', utf8('words'), { qos: 0, retain: false })
    await leaver.close({ withWill })
    const marker = await open('marker')
    await marker.publishConfirmed('open/marker', utf8('1'), { retain: false })
    await expect.poll(() => heard).toContain('open/marker=1')
    expect(heard).toContain('open/last=words')
    expect(heard.includes('will/leaver=gone')).toBe(withWill)
  })

  test('a wrong password is broker-refused', async () => {
    const error = await open('x', [], { password: 'wrong' }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(PenstockError)
    expect((error as PenstockError).code).toBe('broker-refused')
    expect((error as PenstockError).message).not.toContain('wrong"')
  })

  test('a publication that the ACL forbids rejects when it is confirmed', async () => {
    const link = await open('x')
    const error = await link
      .publishConfirmed('closed/x', utf8('1'), { retain: false })
      .catch((thrown: unknown) => thrown)
    expect((error as PenstockError).code).toBe('broker-refused')
  })

  test('a second client with the same id takes over: the first one ends', async () => {
    const first = await open('same')
    await open('same')
    expect(await first.ended).toMatch(/took over|the broker closed/)
  })
})
