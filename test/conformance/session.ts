import { alarmLimitsHash, formatAlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import { decodePayload } from '@penstock/core/sparkplug/codec.ts'
import type { Metric, Payload } from '@penstock/core/sparkplug/payload.ts'
import { meter } from '../edge/uplink/world.ts'
import { decodeWithProtobufjs } from '../support/sparkplug-schema.ts'
import { EdgeWorld, edgeClient, metricNames, pump } from './edge-world.ts'
import type { Connect } from './mqtt-packets.ts'
import type { Event, Message } from './watched-broker.ts'

const limits = new Map([['plant/fm-1/flow', [10, 20]]])
export const limitsHash = alarmLimitsHash(limits)

/** A payload as protobufjs reads it: only fields that were on the wire. */
export interface ForeignPayload {
  readonly metrics?: readonly {
    readonly name?: string
    readonly datatype?: number
    readonly properties?: { readonly keys: readonly string[]; readonly values: readonly { readonly type?: number }[] }
  }[]
}

/** A DATA message and all metrics of the birth before it, of the same node or device. */
export interface Data extends Message {
  readonly birth: readonly Metric[]
}

/** Everything that one connection of the edge said, from CONNECT to its end. */
export class Session {
  readonly events: readonly Event['did'][]
  readonly messages: readonly Message[]
  /** when the device was read whose values are looked at; when all was over */
  readonly measuredAt: number
  readonly endedAt: number

  constructor(world: EdgeWorld, measuredAt: number) {
    this.events = world.broker.events.filter(({ client }) => client === edgeClient).map(({ did }) => did)
    this.messages = world.sent()
    this.measuredAt = measuredAt
    this.endedAt = world.world.time.now()
  }

  get connect(): Connect {
    const [first] = this.events
    if (first?.kind !== 'connect') throw new Error('no CONNECT')
    return first
  }

  /** All but NDEATH. */
  get alive(): readonly Message[] {
    return this.messages.filter(({ verb }) => verb !== 'NDEATH')
  }

  /** From the first NBIRTH to the second. */
  get firstLife(): readonly Message[] {
    return this.alive.slice(0, this.#secondBirth)
  }

  get secondLife(): readonly Message[] {
    return this.alive.slice(this.#secondBirth)
  }

  get #secondBirth(): number {
    return this.alive.findLastIndex(({ verb }) => verb === 'NBIRTH')
  }

  of(verb: string): readonly Message[] {
    return this.messages.filter(message => message.verb === verb)
  }

  /** NBIRTH and DBIRTHs of one life, as they followed it. */
  birth(which: number): readonly Message[] {
    return (which === 0 ? this.firstLife : this.secondLife).slice(0, 3)
  }

  flags(verb: string): unknown[] {
    const seen = this.of(verb).map(({ qos, retain }) => JSON.stringify({ qos, retain }))
    return [...new Set(seen)].map(text => JSON.parse(text))
  }

  metrics(...verbs: readonly string[]): readonly Metric[] {
    return this.messages.filter(({ verb }) => verbs.includes(verb)).flatMap(({ content }) => content.metrics)
  }

  data(): readonly Data[] {
    const births = new Map<string | null, readonly Metric[]>()
    const data: Data[] = []
    for (const message of this.messages) {
      const { verb, device, content } = message
      if (verb.endsWith('BIRTH')) births.set(device, content.metrics)
      if (verb.endsWith('DATA')) data.push({ ...message, birth: births.get(device) ?? [] })
    }
    return data
  }

  /** The metrics of a tag in DDATA, by the aliases that the births gave it. */
  dataOf(name: string): readonly Metric[] {
    return this.data().flatMap(({ content, birth }) => {
      const alias = birth.find(metric => metric.name === name)?.alias
      return alias === undefined ? [] : content.metrics.filter(metric => metric.alias === alias)
    })
  }

  read(bytes: Uint8Array | undefined): Payload {
    return decodePayload(bytes ?? new Uint8Array())
  }

  foreign(bytes: Uint8Array): ForeignPayload {
    return decodeWithProtobufjs(bytes) as unknown as ForeignPayload
  }
}

/**
 * One session with all that an edge ever says: births, a value that changes, so many alarms that the sequence comes round,
 * new alarm limits, uncertain and bad readings, a device that goes and comes back, a rebirth, the end.
 */
export async function playSession(): Promise<Session> {
  const world = await EdgeWorld.open({ devices: [meter, pump] })
  try {
    const { world: inner } = world
    const { source, time } = inner
    const fresh = { quality: 'good', reason: null } as const
    const flow = { tag: 'plant/fm-1/flow', type: 'Double', value: 12.5, sourceTimestamp: time.now(), ...fresh } as const
    source.newest.set(flow.tag, flow)
    await time.advance(250)
    const leak = {
      tag: 'plant/fm-1/leak',
      type: 'Boolean',
      value: false,
      sourceTimestamp: time.now(),
      ...fresh,
    } as const
    source.newest.set(leak.tag, leak)
    await time.advance(250)
    await world.start()

    const measuredAt = time.now()
    const pumpIs = { device: 'plant:pump-1' }
    void inner.report('speed', 1450, pumpIs)
    await world.pass(1_000)
    await world.confirmed()
    void inner.report('speed', 1460, { ...pumpIs, quality: 'uncertain', reason: 'frozen' })
    await world.pass(1_000)
    await world.confirmed()
    world.command(metricNames.alarmLimits, formatAlarmLimits(limits))
    await world.until('the limits are known', () => world.sent('NDATA').length > 0)

    for (let n = 0; n < 300; n++) void inner.report('leak', n % 2 === 0)
    await world.confirmed()
    inner.uplink?.diagnosis('plant:fm-1', source.diagnosis())

    void inner.report('speed', null, pumpIs)
    await world.pass(1_000)
    source.offline.add('plant:pump-1')
    inner.uplink?.deviceState('plant:pump-1', false)
    await world.until('the DDEATH', () => world.sent('DDEATH').length > 0)
    source.offline.delete('plant:pump-1')
    inner.uplink?.deviceState('plant:pump-1', true)
    await world.until('born again', () => world.sent().at(-1)?.verb === 'DBIRTH')

    await world.rebirth()
    void inner.report('leak', true)
    await world.confirmed()
    await world.stop()
    return new Session(world, measuredAt)
  } finally {
    await world.close()
  }
}
