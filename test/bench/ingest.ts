import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { batchUuid, encodeBatchHead, endMetric, metricNames, parseConfirm } from '@penstock/core/delivery/wire.ts'
import { deliveryClasses } from '@penstock/core/reading.ts'
import { systemClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import type { ConnectLink, LinkOptions } from '@penstock/core/runtime/link.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import { birthProperties } from '@penstock/core/sparkplug/properties.ts'
import { birthMetric, dataMetric } from '@penstock/core/sparkplug/values.ts'
import type { Consumer } from '@penstock/gateway/consumer.ts'
import { type Ingest, openIngest } from '@penstock/gateway/ingest/ingest.ts'
import type { InboxRecord } from '@penstock/gateway/ingest/record.ts'
import { LiveTable } from '@penstock/gateway/live/live-table.ts'
import { formatRows, type Row } from './row.ts'

const edges = 200
const tagsPerEdge = 50

/** MQTT payloads to committed and applied by a consumer, against a bare decode of the same payloads; delay of confirmations. */
export async function benchIngest(): Promise<Row[]> {
  return [
    await throughput('messages of 50 readings, 200 edges', 50, 200, 150_000),
    await throughput('messages of 1 reading, 200 edges', 1, 400, 10_000),
    await confirmationDelay(),
  ]
}

async function throughput(what: string, perMessage: number, perEdge: number, atLeast: number): Promise<Row> {
  const bench = await Bench.open()
  try {
    const messages = bench.messages(perMessage, perEdge)
    const warm = Math.floor(messages.length / 4)
    await bench.feed(messages.slice(0, warm))
    for (const { payload } of messages.slice(0, warm)) decodePayload(payload)
    const measured = messages.slice(warm)
    const readings = measured.length * perMessage
    const decoding = await seconds(() => {
      for (const { payload } of measured) decodePayload(payload)
    })
    const spent = await seconds(() => bench.feed(measured))
    const value = readings / spent
    const ceiling = readings / decoding
    return {
      what: `ingest to committed: ${what}`,
      value,
      unit: 'readings/s',
      ceiling,
      ratio: value / ceiling,
      bar: { of: 'value', atLeast },
    }
  } finally {
    await bench.close()
  }
}

/** 20 000 readings/s for some seconds, in messages of 50. */
async function confirmationDelay(): Promise<Row> {
  const bench = await Bench.open()
  try {
    const perEdge = 12
    const messages = bench.messages(50, perEdge)
    await bench.feed(messages.slice(0, edges))
    bench.delays.length = 0
    const begun = performance.now()
    const everyMs = 50 / 20
    for (let sent = edges; sent < messages.length; ) {
      const due = Math.min(messages.length, edges + Math.floor((performance.now() - begun) / everyMs))
      for (; sent < due; sent++) bench.send(messages[sent])
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    await new Promise(resolve => setTimeout(resolve, 500))
    const sorted = bench.delays.toSorted((a, b) => a - b)
    return {
      what: 'confirmation delay at 20 000 readings/s, p99',
      value: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
      unit: 'ms',
      ceiling: null,
      ratio: null,
      bar: { of: 'value', atMost: 500 },
    }
  } finally {
    await bench.close()
  }
}

interface Message {
  readonly edge: number
  readonly pos: number
  readonly topic: string
  readonly payload: Uint8Array
}

/** A gateway whose broker is a function call. */
class Bench {
  readonly delays: number[] = []
  readonly #folder: string
  readonly #ingest: Ingest
  readonly #counted: { readings: number }
  readonly #deliver: LinkOptions['onMessage']
  readonly #sentAt: number[][]

  private constructor(
    folder: string,
    ingest: Ingest,
    counted: { readings: number },
    deliver: LinkOptions['onMessage'],
    sentAt: number[][],
  ) {
    this.#folder = folder
    this.#ingest = ingest
    this.#counted = counted
    this.#deliver = deliver
    this.#sentAt = sentAt
  }

  static async open(): Promise<Bench> {
    const folder = await mkdtemp(path.join(process.env.PENSTOCK_BENCH_FOLDER ?? tmpdir(), 'penstock-ingest-'))
    const counted = { readings: 0 }
    const sentAt = Array.from({ length: edges }, (): number[] => [])
    const online = Promise.withResolvers<LinkOptions['onMessage']>()
    const onCommand = { run: (_edge: number, _text: string): void => {} }
    const connect: ConnectLink = async ({ onMessage }) => {
      const ended = Promise.withResolvers<string>()
      return {
        subscribe: async () => {},
        publish: (topic, payload) => {
          const [metric] = decodePayload(payload).metrics
          if (typeof metric?.value === 'string') onCommand.run(Number(topic.split('/e').at(-1)), metric.value)
        },
        publishConfirmed: async () => online.resolve(onMessage),
        queuedBytes: 0,
        ended: ended.promise,
        close: async () => ended.resolve('closed'),
      }
    }
    const ingest = await openIngest({
      config: { hostId: 'bench', groups: ['g'], folder, segmentBytes: 16 * 2 ** 20, maxBytes: 4 * 2 ** 30 },
      files: nodeFiles,
      clock: systemClock,
      ticker: systemTicker,
      connect,
      log: silentLogger,
      registry: {
        edge: () => ({ hardwareId: null }),
        boundHardware: () => null,
        bindHardware: () => {},
        groupOfSite: () => null,
      },
      consumers: [counter(counted)],
      live: new LiveTable(),
      random: Math.random,
      limits: { limitsFor: () => null, readsLive: () => false },
    })
    const bench = new Bench(folder, ingest, counted, await online.promise, sentAt)
    onCommand.run = (edge, text) => bench.#confirmed(edge, text)
    await new Promise(resolve => setImmediate(resolve))
    for (let edge = 0; edge < edges; edge++) bench.#birth(edge)
    return bench
  }

  /** Batches of class raw, edge by edge in turn. */
  messages(perMessage: number, perEdge: number): Message[] {
    const messages: Message[] = []
    const now = Date.now()
    for (let pos = 0; pos < perEdge; pos++) {
      for (let edge = 0; edge < edges; edge++) {
        const metrics = Array.from({ length: perMessage }, (_, index) =>
          dataMetric('Double', pos * 1.5 + index, {
            alias: (perMessage === 1 ? pos % tagsPerEdge : index) + 1,
            timestamp: now + pos,
          }),
        )
        const body = encodeBatchHead({ session: edge + 1, class: 'raw', from: pos, pos, crc: pos })
        const payload = encodePayload({ timestamp: now + pos, metrics, seq: (2 + pos) % 256, uuid: batchUuid, body })
        messages.push({ edge, pos, topic: `spBv1.0/g/DDATA/e${edge}/site${edge}:fm`, payload })
      }
    }
    return messages
  }

  send(message: Message | undefined): void {
    if (!message) return
    const sent = this.#sentAt[message.edge]
    if (sent) sent[message.pos] = performance.now()
    this.#deliver(message.topic, message.payload, { retain: false })
  }

  /** As a socket would: some packets in one turn of the event loop. Resolves when all is committed and applied. */
  async feed(messages: readonly Message[]): Promise<void> {
    for (const [index, message] of messages.entries()) {
      this.send(message)
      if (index % 64 === 63) await new Promise(resolve => setImmediate(resolve))
    }
    const { inbox } = this.#ingest.status()
    while (this.#ingest.status().inbox.durableEnd < inbox.end || !this.#ingest.runner.caughtUp()) {
      await new Promise(resolve => setImmediate(resolve))
    }
    if (this.#counted.readings === 0) throw new Error('nothing arrived')
  }

  async close(): Promise<void> {
    await this.#ingest.close()
    await rm(this.#folder, { recursive: true, force: true })
  }

  #confirmed(edge: number, text: string): void {
    const { value } = parseConfirm(text)
    const sent = this.#sentAt[edge]
    if (!value || !sent) return
    const now = performance.now()
    for (let pos = value.next.raw - 1; pos >= 0 && sent[pos] !== undefined; pos--) {
      this.delays.push(now - (sent[pos] ?? now))
      delete sent[pos]
    }
  }

  #birth(edge: number): void {
    const at = { timestamp: Date.now() }
    const node = [
      birthMetric('Int64', 0n, { name: metricNames.bdSeq, ...at }),
      birthMetric('Int32', 1, { name: metricNames.version, ...at }),
      birthMetric('String', `${edge}`, { name: metricNames.epoch, ...at }),
      birthMetric('Int64', BigInt(edge + 1), { name: metricNames.session, ...at }),
      birthMetric('String', `hw-${edge}`, { name: metricNames.hardwareId, ...at }),
      ...deliveryClasses.map(name => birthMetric('Int64', 0n, { name: endMetric(name), ...at })),
    ]
    this.#deliver(`spBv1.0/g/NBIRTH/e${edge}`, encodePayload({ ...at, metrics: node, seq: 0 }), { retain: false })
    const tags = Array.from({ length: tagsPerEdge }, (_, index) => {
      const name = `flow-${index}`
      const limits = { deadband: null, resolution: null, modulus: null, min: null, max: null }
      const tag = {
        name,
        type: 'Double',
        class: 'raw',
        unit: 'm3/h',
        scanMs: 1_000,
        heartbeatMs: 60_000,
        ...limits,
      } as const
      const properties = birthProperties(
        { site: `site${edge}`, tag, retired: false },
        { quality: 'good', reason: null },
      )
      return birthMetric('Double', 1, { name, alias: index + 1, properties, ...at })
    })
    const topic = `spBv1.0/g/DBIRTH/e${edge}/site${edge}:fm`
    this.#deliver(topic, encodePayload({ ...at, metrics: tags, seq: 1 }), { retain: false })
  }
}

/** The cheapest consumer there can be. */
function counter(counted: { readings: number }): Consumer {
  let cursor = 0
  return {
    name: 'counter',
    get cursor() {
      return cursor
    },
    apply: async (records: readonly InboxRecord[]) => {
      for (const { position, entry } of records) {
        if (entry.kind === 'batch') counted.readings += entry.readings.length
        cursor = position + 1
      }
    },
    flush: async () => {},
    close: async () => {},
  }
}

async function seconds(run: () => Promise<void> | void): Promise<number> {
  const begun = performance.now()
  await run()
  return (performance.now() - begun) / 1_000
}

if (import.meta.main) console.log(formatRows(await benchIngest()))
