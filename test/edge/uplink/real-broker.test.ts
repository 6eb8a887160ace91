import { formatConfirm, metricNames } from '@penstock/core/delivery/wire.ts'
import { systemClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import type { Link } from '@penstock/core/runtime/link.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { mqttConnector } from '@penstock/core/runtime/mqtt-link.ts'
import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import { formatState } from '@penstock/core/sparkplug/state.ts'
import { groupFilter, nodeTopic, parseTopic, stateTopic } from '@penstock/core/sparkplug/topics.ts'
import { birthMetric } from '@penstock/core/sparkplug/values.ts'
import { openBoot } from '@penstock/edge/acquisition/boot.ts'
import { Uplink } from '@penstock/edge/uplink/uplink.ts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Broker, openBroker } from '../../../scripts/broker.ts'
import { FaultyFiles } from '../../support/faulty-files.ts'
import { SeededRandom } from '../../support/random.ts'
import { FakeSource, meter } from './world.ts'

const users = new Map([
  ['gateway', { password: 'g', edge: null }],
  ['e01', { password: 'e', edge: { group: '320706', id: 'e01' } }],
])

let broker: Broker
beforeAll(async () => {
  broker = await openBroker(0, users)
})
afterAll(() => broker.close())

const connector = (username: string, password: string) =>
  mqttConnector({
    ...{ urls: [`mqtt://127.0.0.1:${broker.port}`], username, password, ca: null, protocol: 4, keepaliveS: 30 },
    ...{ log: silentLogger, ticker: systemTicker },
  })

const openUplink = (password: string): Promise<Uplink> => {
  const random = new SeededRandom(1).next
  return Uplink.open({
    ...{
      group: '320706',
      edge: 'e01',
      host: 'penstock',
      username: 'e01',
      servers: 1,
      connect: connector('e01', password),
    },
    ...{ software: 'test', ledger: null, files: new FaultyFiles(random), folder: '/o', clock: systemClock },
    ...{ ticker: systemTicker, log: silentLogger, random, hardwareId: 'box-1', boot: openBoot(systemTicker) },
    limits: { maxBytes: 2 ** 20, segmentBytes: 2 ** 16, syncMs: 20, maxAgeMs: 0 },
    trust: 'trusted',
    backoff: { minMs: 20, maxMs: 50, stableMs: 10_000 },
  })
}

test('over a real broker: births, hello, batch, confirmation, NDEATH before the end', async () => {
  const verbs: string[] = []
  let link: Link | undefined
  const positions: number[] = []
  const confirm = (epoch: string, session: number, next: number) => {
    const value = formatConfirm({
      ...{ host: 'penstock', ledger: 'l-1', epoch, session, resend: [] },
      next: { alarm: next, total: 0, raw: 0 },
      tail: { alarm: null, total: null, raw: null },
    })
    const timestamp = systemClock.now()
    const metrics = [birthMetric('String', value, { name: metricNames.confirm, timestamp })]
    link?.publish(nodeTopic('320706', 'NCMD', 'e01'), encodePayload({ timestamp, metrics }), { qos: 0, retain: false })
  }
  const said = { epoch: '', session: 0 }
  link = await connector(
    'gateway',
    'g',
  )({
    clientId: 'gateway',
    will: {
      topic: stateTopic('penstock'),
      payload: formatState({ online: false, timestamp: 1 }),
      qos: 1,
      retain: true,
    },
    onMessage: (topic, payload) => {
      const parsed = parseTopic(topic)
      if (!parsed || parsed.kind === 'state' || parsed.verb === 'NCMD') return
      verbs.push(parsed.verb)
      const { metrics, body } = decodePayload(payload)
      if (parsed.verb === 'NBIRTH') {
        said.epoch = String(metrics.find(({ name }) => name === metricNames.epoch)?.value)
        said.session = Number(metrics.find(({ name }) => name === metricNames.session)?.value)
        confirm(said.epoch, said.session, 0)
      }
      if (!body) return
      positions.push(positions.length)
      confirm(said.epoch, said.session, positions.length)
    },
    signal: new AbortController().signal,
  })
  await link.subscribe([groupFilter('320706')], 1)
  await link.publishConfirmed(stateTopic('penstock'), formatState({ online: true, timestamp: 1 }), { retain: true })
  const uplink = await openUplink('e')
  uplink.start(new FakeSource([meter]))
  const now = systemClock.now()
  for (const value of [true, false, true]) {
    uplink.report({
      ...{ class: 'alarm', device: 'plant:fm-1', bootId: 'b' },
      readings: [
        {
          ...{ tag: 'plant/fm-1/leak', type: 'Boolean', value, quality: 'good', reason: null },
          ...{ sourceTimestamp: now, monotonicMs: 1 },
        },
      ],
    })
  }
  await expect.poll(() => uplink.status().classes.alarm.backlog).toBe(0)
  expect(uplink.status()).toMatchObject({ problem: null, connected: true, hostOnline: true, ledger: 'l-1' })
  expect(uplink.status().classes.alarm.confirmDelayMs).toBeGreaterThan(0)
  await uplink.close()
  await expect.poll(() => verbs).toContain('NDEATH')
  expect(verbs.slice(0, 5)).toEqual(['NBIRTH', 'DBIRTH', 'DDATA', 'DDATA', 'DDATA'])
  await link.close()
})

test('a wrong password is said in words', async () => {
  const uplink = await openUplink('wrong')
  uplink.start(new FakeSource([meter]))
  await expect.poll(() => uplink.status().problem).toBe('not-authorised')
  expect(uplink.status().text).toContain('refused user "e01"')
  await uplink.close()
})
