import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadProfile } from '@penstock/core/profile/load.ts'
import { decodePayload } from '@penstock/core/sparkplug/codec.ts'
import { datatypeNumbers, sparkplugType } from '@penstock/core/sparkplug/datatypes.ts'
import type { Metric } from '@penstock/core/sparkplug/payload.ts'
import { formatState } from '@penstock/core/sparkplug/state.ts'
import { deviceTopic, isSparkplugId, nodeTopic } from '@penstock/core/sparkplug/topics.ts'
import { typedValue } from '@penstock/core/sparkplug/values.ts'
import { loadSiteFile } from '@penstock/edge/config/site-file.ts'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { edge, group, meter, startMs } from '../edge/uplink/world.ts'
import { temporaryFolder } from '../support/processes.ts'
import { EdgeWorld, edgeClient, metricNames, pump, stateOfHost } from './edge-world.ts'
import { limitsHash, playSession, type Session } from './session.ts'
import { title } from './title.ts'

const quick = { uplink: { backoff: { minMs: 20, maxMs: 50, stableMs: 10_000 } } }

const named = (metrics: readonly Metric[] | undefined, name: string): Metric | undefined =>
  metrics?.find(metric => metric.name === name)

const bdSeqOf = (metrics: readonly Metric[] | undefined): unknown => {
  const metric = named(metrics, 'bdSeq')
  return metric && typedValue(metric, 'Int64')
}

const ascending = (metrics: readonly Metric[]): boolean => {
  const times = metrics.filter(({ isHistorical }) => !isHistorical).map(({ timestamp = Number.NaN }) => timestamp)
  return times.every((time, at) => at === 0 || time >= (times[at - 1] ?? 0))
}

describe('a session of the edge', () => {
  let session: Session
  beforeAll(async () => {
    session = await playSession()
    // what follows would say little of a poorer session
    const verbs = new Set(session.messages.map(({ verb }) => verb))
    expect(verbs).toEqual(new Set(['NBIRTH', 'DBIRTH', 'NDATA', 'DDATA', 'DDEATH', 'NDEATH']))
    expect(session.firstLife.length).toBeGreaterThan(300)
  }, 30_000)

  describe('CONNECT', () => {
    it(title`
        tck-id-principles-persistence-clean-session-311:
        MQTT 3.1.1, clean session`, () => {
      expect(session.connect).toMatchObject({ level: 4, clean: true })
    })

    it(title`
        tck-id-message-flow-edge-node-birth-publish-will-message
        tck-id-message-flow-edge-node-birth-publish-will-message-topic
        tck-id-message-flow-edge-node-birth-publish-will-message-qos
        tck-id-message-flow-edge-node-birth-publish-will-message-will-retained
        tck-id-payloads-ndeath-will-message
        tck-id-payloads-ndeath-will-message-qos
        tck-id-payloads-ndeath-will-message-retain
        tck-id-topics-ndeath-topic:
        the will is the NDEATH, QoS 1, not retained`, () => {
      expect(session.connect.will).toMatchObject({ topic: `spBv1.0/${group}/NDEATH/${edge}`, qos: 1, retain: false })
      expect(session.of('NDEATH').map(({ topic }) => topic)).toEqual([`spBv1.0/${group}/NDEATH/${edge}`])
    })

    it(title`
        tck-id-message-flow-edge-node-birth-publish-will-message-payload
        tck-id-topics-ndeath-payload
        tck-id-topics-ndeath-seq
        tck-id-payloads-ndeath-seq:
        will and NDEATH are protobuf with bdSeq alone, of type Int64, and no sequence number`, () => {
      for (const bytes of [session.connect.will?.payload, ...session.of('NDEATH').map(({ payload }) => payload)]) {
        const payload = session.read(bytes)
        expect(payload.metrics).toMatchObject([{ name: 'bdSeq', datatype: datatypeNumbers.Int64 }])
        expect(payload.metrics).toHaveLength(1)
        expect(payload.seq).toBeUndefined()
      }
    })

    it(title`
        tck-id-message-flow-edge-node-birth-publish-connect
        tck-id-message-flow-edge-node-ncmd-subscribe
        tck-id-principles-birth-certificates-order
        tck-id-operational-behavior-primary-application-state-with-multiple-servers-state-subs:
        connects, subscribes to its NCMD and to STATE with QoS 1, and the first message is the NBIRTH`, () => {
      const [first, second, third] = session.events
      expect(first).toMatchObject({ kind: 'connect' })
      expect(second).toMatchObject({ kind: 'subscribe' })
      const filters = second?.kind === 'subscribe' ? second.filters : []
      expect(filters).toContainEqual({ topic: `spBv1.0/${group}/NCMD/${edge}`, qos: 1 })
      expect(filters).toContainEqual({ topic: stateOfHost, qos: 1 })
      expect(third).toMatchObject({ kind: 'publish', topic: `spBv1.0/${group}/NBIRTH/${edge}` })
    })
  })

  describe('topics', () => {
    it(title`
        tck-id-topic-structure
        tck-id-topic-structure-namespace-a
        tck-id-topic-structure-namespace-device-id-associated-message-types
        tck-id-topic-structure-namespace-device-id-non-associated-message-types
        tck-id-topics-nbirth-topic
        tck-id-message-flow-edge-node-birth-publish-nbirth-topic
        tck-id-topics-dbirth-topic
        tck-id-message-flow-device-birth-publish-dbirth-topic
        tck-id-message-flow-device-birth-publish-dbirth-match-edge-node-topic
        tck-id-topics-ndata-topic
        tck-id-topics-ddata-topic
        tck-id-topics-ddeath-topic:
        namespace, group, verb, edge, and a device exactly for the verbs of devices`, () => {
      const devices = ['plant:fm-1', 'plant:pump-1']
      for (const { topic, verb } of session.messages) {
        const node = `spBv1.0/${group}/${verb}/${edge}`
        if (verb.startsWith('N')) expect(topic).toBe(node)
        else expect(devices.map(device => `${node}/${device}`)).toContain(topic)
      }
    })

    it(title`
        tck-id-intro-group-id-string
        tck-id-intro-group-id-chars
        tck-id-intro-edge-node-id-string
        tck-id-intro-edge-node-id-chars
        tck-id-intro-device-id-string
        tck-id-intro-device-id-chars
        tck-id-topic-structure-namespace-valid-group-id
        tck-id-topic-structure-namespace-valid-edge-node-id
        tck-id-topic-structure-namespace-valid-device-id:
        the ids in the topics are UTF-8 without + / #, and no other makes a topic`, () => {
      for (const { topic } of session.messages) {
        const [, ...ids] = topic.split('/')
        expect(ids.every(isSparkplugId)).toBe(true)
        expect(topic).not.toContain('\uFFFD')
      }
      for (const id of ['a+b', 'a/b', 'a#', '', 'a\0']) {
        expect(() => nodeTopic(id, 'NBIRTH', edge)).toThrow()
        expect(() => nodeTopic(group, 'NBIRTH', id)).toThrow()
        expect(() => deviceTopic(group, 'DBIRTH', edge, id)).toThrow()
      }
      expect(nodeTopic('海州区', 'NBIRTH', '一号')).toBe('spBv1.0/海州区/NBIRTH/一号')
    })

    it(title`
        tck-id-topic-structure-namespace-unique-device-id:
        each device of the edge is born once under its own id`, () => {
      const born = session.birth(0).slice(1)
      expect(born.map(({ device }) => device)).toEqual(['plant:fm-1', 'plant:pump-1'])
    })
  })

  describe('MQTT', () => {
    it(title`
        tck-id-topics-nbirth-mqtt
        tck-id-payloads-nbirth-qos
        tck-id-payloads-nbirth-retain
        tck-id-message-flow-edge-node-birth-publish-nbirth-qos
        tck-id-message-flow-edge-node-birth-publish-nbirth-retained:
        NBIRTH: QoS 0, not retained`, () => expect(session.flags('NBIRTH')).toEqual([{ qos: 0, retain: false }]))

    it(title`
        tck-id-topics-dbirth-mqtt
        tck-id-payloads-dbirth-qos
        tck-id-payloads-dbirth-retain
        tck-id-message-flow-device-birth-publish-dbirth-qos
        tck-id-message-flow-device-birth-publish-dbirth-retained:
        DBIRTH: QoS 0, not retained`, () => expect(session.flags('DBIRTH')).toEqual([{ qos: 0, retain: false }]))

    it(title`
        tck-id-topics-ndata-mqtt
        tck-id-payloads-ndata-qos
        tck-id-payloads-ndata-retain:
        NDATA: QoS 0, not retained`, () => expect(session.flags('NDATA')).toEqual([{ qos: 0, retain: false }]))

    it(title`
        tck-id-topics-ddata-mqtt
        tck-id-payloads-ddata-qos
        tck-id-payloads-ddata-retain:
        DDATA: QoS 0, not retained`, () => expect(session.flags('DDATA')).toEqual([{ qos: 0, retain: false }]))

    it(title`
        tck-id-topics-ddeath-mqtt:
        DDEATH: QoS 0, not retained`, () => expect(session.flags('DDEATH')).toEqual([{ qos: 0, retain: false }]))
  })

  describe('sequence', () => {
    it(title`
        tck-id-topics-nbirth-seq-num
        tck-id-payloads-nbirth-seq
        tck-id-payloads-sequence-num-req-nbirth
        tck-id-message-flow-edge-node-birth-publish-nbirth-payload-seq:
        an NBIRTH has sequence number 0`, () =>
      expect(session.of('NBIRTH').map(({ content }) => content.seq)).toEqual([0, 0]))

    it(title`
        tck-id-payloads-sequence-num-always-included
        tck-id-payloads-sequence-num-incrementing
        tck-id-topics-dbirth-seq
        tck-id-payloads-dbirth-seq
        tck-id-payloads-dbirth-seq-inc
        tck-id-message-flow-device-birth-publish-dbirth-payload-seq
        tck-id-topics-ndata-seq-num
        tck-id-payloads-ndata-seq
        tck-id-payloads-ndata-seq-inc
        tck-id-topics-ddata-seq-num
        tck-id-payloads-ddata-seq
        tck-id-payloads-ddata-seq-inc
        tck-id-topics-ddeath-seq-num
        tck-id-payloads-ddeath-seq
        tck-id-payloads-ddeath-seq-inc
        tck-id-payloads-ddeath-seq-number:
        every message after the NBIRTH has the next number, over node and devices, and 0 after 255`, () => {
      for (const life of [session.firstLife, session.secondLife]) {
        expect(life.map(({ content }) => content.seq)).toEqual(life.map((_, at) => at % 256))
      }
      expect(session.firstLife.some(({ verb }, at) => verb === 'DDEATH' && at > 256)).toBe(true)
    })
  })

  describe('time', () => {
    it(title`
        tck-id-topics-nbirth-timestamp
        tck-id-payloads-nbirth-timestamp
        tck-id-topics-dbirth-timestamp
        tck-id-payloads-dbirth-timestamp
        tck-id-topics-ndata-timestamp
        tck-id-payloads-ndata-timestamp
        tck-id-topics-ddata-timestamp
        tck-id-payloads-ddata-timestamp
        tck-id-payloads-ddeath-timestamp
        tck-id-payloads-timestamp-in-UTC:
        every payload has the UTC time of sending, in ms`, () => {
      const times = session.alive.map(({ content }) => content.timestamp ?? Number.NaN)
      for (const time of times) {
        expect(time).toBeGreaterThanOrEqual(startMs)
        expect(time).toBeLessThanOrEqual(session.endedAt)
      }
      expect(times).toEqual(times.toSorted((a, b) => a - b))
    })

    it(title`
        tck-id-payloads-name-birth-data-requirement
        tck-id-payloads-metric-timestamp-in-UTC:
        every metric of births and data has the UTC time of its value`, () => {
      for (const { timestamp } of session.metrics('NBIRTH', 'DBIRTH', 'NDATA', 'DDATA')) {
        expect(timestamp).toBeGreaterThanOrEqual(startMs)
        expect(timestamp).toBeLessThanOrEqual(session.endedAt)
      }
      const speed = session.dataOf('speed')[0]
      expect(speed?.timestamp).toBe(session.measuredAt)
    })

    it(title`
        tck-id-operational-behavior-data-publish-nbirth-order
        tck-id-operational-behavior-data-publish-dbirth-order:
        what is not historical stands in order of time in every payload`, () => {
      for (const { verb, content } of session.alive) expect(ascending(content.metrics), verb).toBe(true)
      const stamps = session.of('DBIRTH').map(({ content }) => new Set(content.metrics.map(m => m.timestamp)).size)
      expect(Math.max(...stamps)).toBeGreaterThan(2)
    })
  })

  describe('births', () => {
    it(title`
        tck-id-message-flow-edge-node-birth-publish-nbirth-payload
        tck-id-message-flow-device-birth-publish-dbirth-payload:
        an independent reader of the Sparkplug schema reads NBIRTH and DBIRTH`, () => {
      const [nbirth, dbirth] = session.birth(0).map(({ payload }) => session.foreign(payload))
      expect(nbirth?.metrics?.map(({ name }) => name)).toContain('bdSeq')
      expect(dbirth?.metrics?.map(({ name }) => name)).toEqual(expect.arrayContaining(['flow', 'total', 'leak']))
    })

    it(title`
        tck-id-topics-nbirth-bdseq-included
        tck-id-topics-nbirth-bdseq-matching
        tck-id-payloads-nbirth-bdseq
        tck-id-payloads-nbirth-bdseq-repeat
        tck-id-payloads-ndeath-bdseq
        tck-id-message-flow-edge-node-birth-publish-nbirth-payload-bdSeq:
        will, NBIRTH and NDEATH of one connection have the same bdSeq, Int64`, () => {
      const will = bdSeqOf(session.read(session.connect.will?.payload).metrics)
      expect(will).toBe(0n)
      const said = [...session.of('NBIRTH'), ...session.of('NDEATH')].map(({ content }) => content.metrics)
      expect(said.map(bdSeqOf)).toEqual([will, will, will])
      expect(said.map(metrics => named(metrics, 'bdSeq')?.datatype)).toEqual(said.map(() => datatypeNumbers.Int64))
    })

    it(title`
        tck-id-topics-nbirth-rebirth-metric
        tck-id-payloads-nbirth-rebirth-req
        tck-id-operational-behavior-data-commands-rebirth-name
        tck-id-operational-behavior-data-commands-rebirth-name-aliases
        tck-id-operational-behavior-data-commands-rebirth-datatype
        tck-id-operational-behavior-data-commands-rebirth-value:
        NBIRTH has Node Control/Rebirth, Boolean, false, without alias`, () => {
      for (const { content } of session.of('NBIRTH')) {
        const metric = named(content.metrics, 'Node Control/Rebirth')
        expect(metric).toMatchObject({ datatype: datatypeNumbers.Boolean, value: false })
        expect(metric?.alias).toBeUndefined()
      }
    })

    it(title`
        tck-id-topics-nbirth-metrics
        tck-id-topics-dbirth-metrics
        tck-id-payloads-metric-datatype-req
        tck-id-payloads-metric-datatype-value
        tck-id-payloads-metric-datatype-value-type
        tck-id-operational-behavior-data-publish-nbirth-values
        tck-id-operational-behavior-data-publish-dbirth-values:
        each metric of a birth has a name, a datatype of the specification, and its value or is_null`, () => {
      for (const metric of session.metrics('NBIRTH', 'DBIRTH')) {
        expect(metric.name).toBeTruthy()
        const type = sparkplugType(metric.datatype)
        expect(type, metric.name).toBeDefined()
        if (!type) continue
        if (metric.isNull) expect(metric.value, metric.name).toBeUndefined()
        else expect(typedValue(metric, type), metric.name).toBeDefined()
      }
      const [, flowmeter] = session.birth(0)
      const metrics = flowmeter?.content.metrics
      expect(typedValue(named(metrics, 'flow') ?? {}, 'Double')).toBe(12.5)
      expect(named(metrics, 'total')).toMatchObject({ isNull: true })
    })

    it(title`
        tck-id-topics-nbirth-metric-reqs
        tck-id-operational-behavior-data-publish-nbirth
        tck-id-topics-dbirth-metric-reqs
        tck-id-operational-behavior-data-publish-dbirth:
        whatever NDATA and DDATA say, the birth has named before`, () => {
      for (const { verb, device, content, birth } of session.data()) {
        for (const { name, alias } of content.metrics) {
          const known = birth.some(metric => (alias === undefined ? metric.name === name : metric.alias === alias))
          expect(known, `${verb} ${device} ${name ?? alias}`).toBe(true)
        }
      }
    })

    it(title`
        tck-id-payloads-dbirth-order
        tck-id-payloads-ndata-order
        tck-id-payloads-ddata-order
        tck-id-message-flow-device-birth-publish-nbirth-wait:
        NBIRTH, at once all DBIRTHs, and only then data`, () => {
      for (const life of [session.firstLife, session.secondLife]) {
        expect(life.slice(0, 3).map(({ verb }) => verb)).toEqual(['NBIRTH', 'DBIRTH', 'DBIRTH'])
        expect(life.slice(3).some(({ verb }) => verb === 'DDATA')).toBe(true)
      }
    })
  })

  describe('metrics', () => {
    it(title`
        tck-id-payloads-name-requirement
        tck-id-payloads-alias-birth-requirement
        tck-id-payloads-alias-data-cmd-requirement:
        an alias comes with its name in the birth and alone in data, without datatype; what has none comes by name`, () => {
      const withAlias = new Set(session.metrics('DBIRTH').flatMap(({ name, alias }) => (alias ? (name ?? '') : [])))
      expect(withAlias).toEqual(new Set(['flow', 'total', 'leak', 'speed', 'running']))
      for (const { name, alias, datatype } of session.metrics('NDATA', 'DDATA')) {
        expect((name === undefined) !== (alias === undefined)).toBe(true)
        if (name !== undefined) expect(withAlias).not.toContain(name)
        expect(datatype).toBeUndefined()
      }
    })

    it(title`
        tck-id-payloads-alias-uniqueness:
        no alias twice over the node and all its devices`, () => {
      for (const which of [0, 1]) {
        const aliases = session.birth(which).flatMap(({ content }) => content.metrics.flatMap(m => m.alias ?? []))
        expect(aliases).toHaveLength(5)
        expect(new Set(aliases).size).toBe(aliases.length)
      }
    })

    it(title`
        tck-id-topics-ddata-payload
        tck-id-topics-ndata-payload:
        a value that changed comes with the next DDATA, a property of the node with the next NDATA`, () => {
      expect(session.dataOf('speed').map(metric => typedValue(metric, 'Double'))).toEqual([1450, 1460, null])
      const hashes = session.of('NDATA').flatMap(({ content }) => named(content.metrics, metricNames.alarmLimitsHash))
      const born = named(session.birth(0)[0]?.content.metrics, metricNames.alarmLimitsHash)
      expect(hashes[0]?.value).toBe(limitsHash)
      expect(born?.value).toBe('')
    })

    it(title`
        tck-id-payloads-propertyset-keys-array-size
        tck-id-payloads-propertyset-values-array-size
        tck-id-payloads-metric-propertyvalue-type-type
        tck-id-payloads-metric-propertyvalue-type-value
        tck-id-payloads-metric-propertyvalue-type-req:
        properties have as many keys as values, each with a type of the specification`, () => {
      const sets = session.messages.flatMap(({ payload }) =>
        (session.foreign(payload).metrics ?? []).flatMap(({ properties }) => properties ?? []),
      )
      expect(sets.length).toBeGreaterThan(5)
      for (const { keys, values } of sets) {
        expect(values).toHaveLength(keys.length)
        for (const { type } of values) expect(sparkplugType(type)).toBeDefined()
      }
    })

    it(title`
        tck-id-payloads-propertyset-quality-value-type
        tck-id-payloads-propertyset-quality-value-value:
        Quality is an Int32 of 0 or 500; good is said by leaving it out`, () => {
      const said = session.metrics('DBIRTH', 'DDATA').flatMap(({ properties }) => properties?.get('Quality') ?? [])
      expect(new Set(said.map(({ value }) => value))).toEqual(new Set([0, 500]))
      for (const quality of said) expect(quality).toMatchObject({ type: datatypeNumbers.Int32, wire: 'int' })
    })
  })

  it(title`
      tck-id-operational-behavior-device-ddeath:
      a device that is lost dies by DDEATH after its last readings, and is born again when it is back`, () => {
    const life = session.firstLife.filter(({ device }) => device === 'plant:pump-1').map(({ verb }) => verb)
    const death = life.indexOf('DDEATH')
    expect(life[0]).toBe('DBIRTH')
    expect(death).toBeGreaterThan(0)
    expect(life[death + 1]).toBe('DBIRTH')
  })

  it(title`
      tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath
      tck-id-payloads-ndeath-will-message-publisher
      tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt311:
      a clean stop publishes NDEATH, and nothing after it`, () => {
    const kinds = session.events.map(({ kind }) => kind)
    const death = session.events.findLastIndex(event => event.kind === 'publish')
    expect(session.messages.at(-1)?.verb).toBe('NDEATH')
    expect(kinds.indexOf('end')).toBeGreaterThan(death)
    expect(kinds.slice(0, death)).not.toContain('disconnect')
  })
})

describe('the edge', () => {
  let world: EdgeWorld
  const open = async (options: Parameters<typeof EdgeWorld.open>[0] = {}) => {
    world = await EdgeWorld.open({ ...quick, devices: [meter, pump], ...options })
    return world
  }
  afterEach(() => world.close())
  const stateOf = (online: boolean, timestamp: number, topic = stateOfHost) =>
    world.world.hostLink?.publishConfirmed(topic, formatState({ online, timestamp }), { retain: true })

  it(title`
      tck-id-topics-nbirth-bdseq-increment
      tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq:
      bdSeq starts at 0, grows by one with every CONNECT, also after a restart, and follows 255 with 0`, async () => {
    const { world: inner } = await open()
    await world.start()
    world.broker.drop(edgeClient)
    await world.born(2)
    await world.stop()
    await inner.start()
    await world.born(3)
    await world.stop()
    await inner.files.replace('/data/bdseq', new TextEncoder().encode('255\n'))
    await inner.start()
    await world.born(4)
    const wills = world.broker.connects(edgeClient).map(({ will }) => will?.payload)
    const read = wills.map(bytes => bdSeqOf(decodePayload(bytes ?? new Uint8Array()).metrics))
    expect(read).toEqual([0n, 1n, 2n, 0n])
    expect(world.sent('NBIRTH').map(({ content }) => bdSeqOf(content.metrics))).toEqual(read)
  })

  it(title`
      tck-id-operational-behavior-data-commands-rebirth-action-1
      tck-id-operational-behavior-data-commands-rebirth-action-2
      tck-id-operational-behavior-data-commands-rebirth-action-3:
      upon a Rebirth data stop at once, all births follow with the same bdSeq`, async () => {
    const { world: inner } = await open()
    await world.start()
    inner.hello = false
    for (let n = 0; n < 5; n++) void inner.report('leak', n % 2 === 0)
    await world.rebirth()
    void inner.report('leak', true)
    await world.pass(500)
    const sent = world.sent()
    const again = sent.findLastIndex(({ verb }) => verb === 'NBIRTH')
    expect(sent.slice(again, again + 3).map(({ verb }) => verb)).toEqual(['NBIRTH', 'DBIRTH', 'DBIRTH'])
    expect(bdSeqOf(sent[again]?.content.metrics)).toBe(0n)
    expect(world.broker.connects(edgeClient)).toHaveLength(1)
    const batches = sent.slice(again).filter(({ content }) => content.body)
    expect(batches).toEqual([])
    inner.confirm()
    await world.confirmed()
    const late = world
      .sent()
      .slice(again)
      .filter(({ content }) => content.body)
    expect(late.length).toBeGreaterThan(0)
  })

  describe('and its primary host', () => {
    it(title`
        tck-id-message-flow-edge-node-birth-publish-phid-wait
        tck-id-message-flow-edge-node-birth-publish-phid-wait-id
        tck-id-message-flow-edge-node-birth-publish-phid-wait-online
        tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp
        tck-id-operational-behavior-edge-node-birth-sequence-wait:
        says nothing until its own host is online with a time that is not older`, async () => {
      const { world: inner } = await open()
      await inner.hostOnline()
      await stateOf(false, startMs + 1000)
      await inner.start()
      await world.until('the edge', () => world.broker.clients.includes(edgeClient))
      await world.pass(5_000)
      expect(world.sent()).toEqual([])
      await stateOf(true, startMs + 2000, 'spBv1.0/STATE/another')
      await stateOf(true, startMs + 999)
      await world.pass(5_000)
      expect(world.sent()).toEqual([])
      await stateOf(true, startMs + 1000)
      await world.born(1)
    })

    it(title`
        tck-id-message-flow-edge-node-birth-publish-phid-offline
        tck-id-operational-behavior-edge-node-termination-host-offline
        tck-id-operational-behavior-edge-node-termination-host-offline-timestamp:
        stays when an older STATE says offline, and leaves with NDEATH when a newer one does`, async () => {
      const { world: inner } = await open()
      await world.start()
      const online = inner.time.now()
      await stateOf(true, online + 10)
      await stateOf(false, online + 9)
      await world.pass(3_000)
      expect(world.sent('NDEATH')).toEqual([])
      expect(world.broker.clients).toContain(edgeClient)
      await stateOf(false, online + 10)
      await world.until('the end', () => world.sent('NDEATH').length > 0)
      await world.until('the next connection', () => world.broker.connects(edgeClient).length > 1)
      await world.pass(5_000)
      expect(world.sent().at(-1)?.verb).toBe('NDEATH')
      expect(world.broker.connects(edgeClient)).toHaveLength(2)
    })

    it(title`
        tck-id-operational-behavior-edge-node-termination-host-offline-reconnect
        tck-id-operational-behavior-primary-application-state-with-multiple-servers-walk
        tck-id-operational-behavior-primary-application-state-with-multiple-servers-single-server:
        of two servers it takes the one where the host is online, never both`, async () => {
      const { world: inner } = await open({ brokers: 2 })
      const [second] = world.others
      if (!second) throw new Error('one broker')
      const elsewhere = await second.connector()({
        ...{ clientId: 'gateway', onMessage: () => {}, signal: new AbortController().signal },
        will: { topic: 'none', payload: new Uint8Array(), qos: 1, retain: false },
      })
      await elsewhere.publishConfirmed(stateOfHost, formatState({ online: true, timestamp: 1 }), { retain: true })
      await world.start()
      let both = false
      const births = () => {
        both ||= world.broker.clients.includes(edgeClient) && second.clients.includes(edgeClient)
        return second.messages(edgeClient, 'NBIRTH').length
      }
      await stateOf(false, inner.time.now() + 1)
      await world.until('births at the second server', () => births() > 0)
      expect(world.sent().at(-1)?.verb).toBe('NDEATH')
      expect(both).toBe(false)
      await elsewhere.close()
    })
  })

  it(title`
      tck-id-principles-persistence-clean-session-50
      tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt50
      tck-id-operational-behavior-edge-node-intentional-disconnect-packet:
      MQTT 5: clean start, session expiry 0, and NDEATH before a DISCONNECT with will`, async () => {
    const { world: inner } = await open({ protocol: 5 })
    world.broker.mqtt5.retained.set(stateOfHost, formatState({ online: true, timestamp: startMs }))
    await inner.start()
    await world.born(1)
    expect(world.broker.connects(edgeClient)).toMatchObject([{ level: 5, clean: true, sessionExpiryS: 0 }])
    await world.stop()
    const said = world.broker.events.filter(({ client }) => client === edgeClient).map(({ did }) => did)
    expect(said.slice(-3)).toMatchObject([
      { kind: 'publish', topic: `spBv1.0/${group}/NDEATH/${edge}` },
      { kind: 'disconnect', reason: 0x04 },
      { kind: 'end' },
    ])
  })
})

describe('ids that differ in capitals only', () => {
  const { path: folder, remove } = temporaryFolder()
  afterAll(remove)
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }

  it(title`
    tck-id-case-sensitivity-metric-names:
    are refused as names of tags`, () => {
    const profile = (other: string) => {
      const tag = (name: string, register: number) =>
        `  - { name: ${name}, title: { zh: 流量, en: flow }, register: ${register}, type: f32, class: raw, scan: normal }\n`
      const head = 'profile: p\ntitle: { zh: 表, en: meter }\nsource: none\nconfidence: own\ndriver: modbus\n'
      return loadProfile(file('p.yaml', `${head}tags:\n${tag('flow', 0)}${tag(other, 2)}`))
    }
    expect(profile('flow-2').tags).toHaveLength(2)
    expect(() => profile('Flow')).toThrow(/"Flow" stands twice/)
  })

  it(title`
    tck-id-case-sensitivity-sparkplug-ids:
    are refused as ids of devices`, () => {
    const site = (other: string) =>
      loadSiteFile(
        file(
          's.yaml',
          `edge: { group: g, id: e }
host: penstock
broker: { urls: ["mqtt://127.0.0.1"] }
channels: [{ id: c, driver: modbus, transport: tcp, host: 127.0.0.1, port: 1502 }]
devices:
  - { site: plant, id: fm, channel: c, unitId: 1, profile: mfe600c }
  - { site: plant, id: ${other}, channel: c, unitId: 2, profile: mfe600c }
`,
        ),
      )
    expect(site('fm-2').devices).toHaveLength(2)
    expect(() => site('FM')).toThrow(/"plant\/FM" stands twice/)
  })
})
