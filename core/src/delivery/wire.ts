import { type DeliveryClass, deliveryClasses } from '../reading.ts'
import { PenstockError } from '../runtime/errors.ts'
import { Reader } from '../sparkplug/reader.ts'
import { Writer } from '../sparkplug/writer.ts'

/** `payload.uuid` of a batch (delivery protocol, WIRE). */
export const batchUuid = 'penstock.delivery.1'
/** `Delivery/Version` and the `v` of a confirmation. */
export const deliveryVersion = 1

/** Metrics without alias that edge and gateway agree on. */
export const metricNames = {
  bdSeq: 'bdSeq',
  rebirth: 'Node Control/Rebirth',
  confirm: 'Node Control/Delivery Confirm',
  alarmLimits: 'Node Control/Alarm Limits',
  version: 'Delivery/Version',
  epoch: 'Delivery/Epoch',
  session: 'Delivery/Session',
  loss: 'Delivery/Loss',
  hardwareId: 'Properties/Hardware Id',
  software: 'Properties/Software',
  /** String: ledger of the only gateway that the edge obeys, "" while it has pinned none */
  ledger: 'Properties/Ledger',
  alarmLimitsHash: 'Properties/Alarm Limits Hash',
  clockSynchronised: 'Properties/Clock Synchronised',
  diagnostics: 'Properties/Diagnostics',
} as const

/** Int64: position of the oldest batch of a class that the edge still holds. */
export const firstMetric = (deliveryClass: DeliveryClass): string => `Delivery/${deliveryClass}/First`
/** Int64: position that the next batch of a class will get; everything below is durable at the edge. */
export const endMetric = (deliveryClass: DeliveryClass): string => `Delivery/${deliveryClass}/End`

/** A result, or why there is none. */
export type Parsed<T> =
  | { readonly value: T; readonly problem: null }
  | { readonly value: null; readonly problem: string }

const parsed = <T>(value: T): Parsed<T> => ({ value, problem: null })
const rejected = (problem: string): { value: null; problem: string } => ({ value: null, problem })

/**
 * What makes a DDATA or NDATA a batch; protobuf in `payload.body`: 1 session, 2 class (1 alarm, 2 total, 3 raw), 3 from, 4 pos, 5 crc.
 * All are unsigned whole numbers below 2^53, so that they are the same in JSON. Positions [from, pos) are lost for ever.
 */
export interface BatchHead {
  /** `Delivery/Session` of the birth that this batch follows; see `newSession` */
  readonly session: number
  readonly class: DeliveryClass
  readonly from: number
  readonly pos: number
  readonly crc: number
}

/** A session number: 53 random bits, never 0. */
export function newSession(random: (below: number) => number): number {
  return random(2 ** 21) * 2 ** 32 + random(2 ** 32) || 1
}

export function encodeBatchHead(head: BatchHead): Uint8Array {
  const writer = new Writer(40)
  const fields = [head.session, deliveryClasses.indexOf(head.class) + 1, head.from, head.pos, head.crc]
  for (const [index, value] of fields.entries()) {
    writer.key((index + 1) * 8)
    writer.number(value)
  }
  return writer.finish()
}

/** Unknown fields are skipped; a missing one, or `from` > `pos`, is a problem. Never throws. */
export function decodeBatchHead(body: Uint8Array): Parsed<BatchHead> {
  let session: number | undefined
  let number = 0
  let from: number | undefined
  let pos: number | undefined
  let crc: number | undefined
  try {
    const reader = new Reader(body, 0)
    while (reader.more) {
      const key = reader.key()
      if (key === 0x08) session = reader.exact('a session')
      else if (key === 0x10) number = reader.uint32()
      else if (key === 0x18) from = reader.exact('a position')
      else if (key === 0x20) pos = reader.exact('a position')
      else if (key === 0x28) crc = reader.exact('a checksum')
      else reader.skipUnknown(key, 5)
    }
  } catch (error) {
    if (error instanceof PenstockError) return rejected(error.message)
    throw error
  }
  const deliveryClass = deliveryClasses[number - 1]
  if (session === undefined || !deliveryClass || from === undefined || pos === undefined || crc === undefined) {
    return rejected('a batch head without session, class, from, pos or crc')
  }
  if (from > pos) return rejected(`a batch head with from ${from} above pos ${pos}`)
  if (crc > 0xffffffff) return rejected(`a batch head with crc ${crc}`)
  return parsed({ session, class: deliveryClass, from, pos, crc })
}

/** What the gateway has committed (delivery protocol, CONFIRM): the value of NCMD metric `Node Control/Delivery Confirm`, as JSON. */
export interface Confirm {
  readonly host: string
  /** UUID of the gateway's store; the edge obeys only the one that it has pinned */
  readonly ledger: string
  readonly epoch: string
  readonly session: number
  /** first position not committed */
  readonly next: Readonly<Record<DeliveryClass, number>>
  /** crc of the batch at next − 1, null if there is none or it was lost */
  readonly tail: Readonly<Record<DeliveryClass, number | null>>
  /** classes to be sent again from `next` on */
  readonly resend: readonly DeliveryClass[]
}

export const formatConfirm = (confirm: Confirm): string =>
  JSON.stringify({
    v: deliveryVersion,
    host: confirm.host,
    ledger: confirm.ledger,
    epoch: confirm.epoch,
    session: confirm.session,
    next: confirm.next,
    tail: confirm.tail,
    resend: confirm.resend,
  })

/** Strict: an edge deletes because of it. Unknown members are let pass, everything else must be as in `Confirm`. Never throws. */
export function parseConfirm(text: string): Parsed<Confirm> {
  const json = parseObject(text)
  if (!json) return rejected('not a JSON object')
  const { v, host, ledger, epoch, session, next, tail, resend } = json
  if (v !== deliveryVersion) return rejected(`version ${String(v)} of the protocol`)
  if (!isText(host) || !isText(ledger) || !isText(epoch)) return rejected('without host, ledger or epoch')
  if (!isCount(session)) return rejected('without session')
  if (!isObject(next) || !isObject(tail)) return rejected('without next or tail')
  const positions: Partial<Record<DeliveryClass, number>> = {}
  const crcs: Partial<Record<DeliveryClass, number | null>> = {}
  for (const name of deliveryClasses) {
    const position = next[name]
    const crc = tail[name]
    if (!isCount(position)) return rejected(`next of class ${name} is not a position`)
    if (crc !== null && !(isCount(crc) && crc <= 0xffffffff)) return rejected(`tail of class ${name} is not a checksum`)
    positions[name] = position
    crcs[name] = crc
  }
  if (!Array.isArray(resend)) return rejected('without resend')
  const again = deliveryClasses.filter(name => resend.includes(name))
  if (again.length !== new Set(resend).size) return rejected('resend of an unknown class')
  return parsed({
    host,
    ledger,
    epoch,
    session,
    next: positions as Record<DeliveryClass, number>,
    tail: crcs as Record<DeliveryClass, number | null>,
    resend: again,
  })
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const json: unknown = JSON.parse(text)
    return isObject(json) ? json : null
  } catch {
    return null
  }
}

const isObject = (json: unknown): json is Record<string, unknown> =>
  typeof json === 'object' && json !== null && !Array.isArray(json)
const isText = (json: unknown): json is string => typeof json === 'string' && json !== '' && json.length <= 256
const isCount = (json: unknown): json is number => Number.isSafeInteger(json) && Number(json) >= 0
