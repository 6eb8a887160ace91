import { pause } from './numbers.ts'
import { RawEdge, type Shape } from './raw-edges.ts'
import { serve } from './role.ts'

/** The load: many edges in one process, whose batches are encoded before they are sent. */

export interface Connect {
  readonly port: number
  readonly shape: Shape
  /** the first so many tags are born with a value far above all alarm limits */
  readonly alarming?: number
}

export interface Flood {
  readonly batchesPerEdge: number
  readonly perMessage: number
  /** source times of the batches of an edge lie so far apart */
  readonly everyMs: number
}

export interface Pace {
  readonly readingsPerSecond: number
  readonly perMessage: number
  readonly seconds: number
}

/** When a batch was sent (ms since 1970) and how long its confirmation took. */
export interface Delays {
  readonly sentAt: Float64Array
  readonly delayMs: Float64Array
  readonly cpuPercent: number
}

let edges: RawEdge[] = []
let recording: { sentAt: number[]; delayMs: number[] } | null = null
let stopping = false

async function connectAll({ port, shape, alarming = 0 }: Connect): Promise<void> {
  const onConfirmed = (sentAt: number, now: number): void => {
    recording?.sentAt.push(performance.timeOrigin + sentAt)
    recording?.delayMs.push(now - sentAt)
  }
  edges = await Promise.all(
    Array.from({ length: shape.edges }, (_, index) => RawEdge.connect(port, index, shape, onConfirmed)),
  )
  const perEdge = shape.devices * shape.tagsPerDevice
  await Promise.all(
    edges.map((edge, index) =>
      edge.born((device, tag) => (index * perEdge + device * shape.tagsPerDevice + tag < alarming ? 1_000_000 : 100)),
    ),
  )
}

function prepare({ batchesPerEdge, perMessage, everyMs }: Flood): void {
  const start = Date.now()
  for (const edge of edges) edge.prepare(batchesPerEdge, perMessage, batch => start + batch * everyMs)
}

/** Sends everything that was prepared as fast as it is confirmed; resolves with the seconds until the last confirmation. */
async function flood(): Promise<{ seconds: number; cpuPercent: number }> {
  const used = watchCpu()
  const begun = performance.now()
  for (const edge of edges) edge.allow(Number.POSITIVE_INFINITY)
  while (!edges.every(edge => edge.done)) {
    if (performance.now() - begun > 300_000) throw new Error('not confirmed within five minutes')
    await pause(5)
  }
  return { seconds: (performance.now() - begun) / 1000, cpuPercent: used() }
}

/** Sends at a steady rate, edge by edge in turn; resolves with the delay of each confirmation. */
async function pace({ readingsPerSecond, perMessage, seconds }: Pace): Promise<Delays> {
  const perSecond = readingsPerSecond / perMessage
  const total = Math.floor(perSecond * seconds)
  const start = Date.now()
  const perEdge = Math.ceil(total / edges.length)
  for (const edge of edges) edge.prepare(perEdge, perMessage, batch => start + (batch / perEdge) * seconds * 1000)
  const record = { sentAt: [], delayMs: [] }
  recording = record
  stopping = false
  const used = watchCpu()
  const begun = performance.now()
  let sent = 0
  while (sent < total && !stopping) {
    const due = Math.min(total, Math.floor(((performance.now() - begun) / 1000) * perSecond))
    for (; sent < due; sent++) edges[sent % edges.length]?.allow(1)
    await pause(2)
  }
  const cpuPercent = used()
  await pause(1_000)
  recording = null
  return { sentAt: Float64Array.from(record.sentAt), delayMs: Float64Array.from(record.delayMs), cpuPercent }
}

function watchCpu(): () => number {
  const before = process.cpuUsage()
  const from = performance.now()
  return () => {
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 10 / (performance.now() - from)
  }
}

serve({
  connect: connectAll,
  prepare,
  flood,
  pace,
  stopPacing: () => {
    stopping = true
  },
})
