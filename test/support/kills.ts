import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { components } from '@penstock/console/generated/api.ts'
import { readInbox } from './read-inbox.ts'
import { demoEdges, until, type World } from './world.ts'

type Schemas = components['schemas']

interface MeterTruth {
  readonly site: string
  readonly device: string
  readonly resolution: string
  readonly shown: string
  readonly first: { readonly index: string; readonly at: number } | null
  readonly last: { readonly index: string; readonly at: number } | null
}

/** A repeatable sequence (mulberry32). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Waits until the gateway has, for good, of every meter what it shows. */
function everyTotalArrived(world: World): Promise<MeterTruth[]> {
  return until('every total at the gateway is what the meter shows, and nothing waits', 120_000, async () => {
    const { meters } = await world.control<{ meters: MeterTruth[] }>('GET', '/truth')
    const { edges } = await world.api<Schemas['EdgeList']>('/api/v1/edges')
    const drained = edges.filter(edge => edge.backlog && Object.values(edge.backlog).every(count => count === 0))
    if (drained.length < demoEdges.length) return undefined
    for (const meter of meters) {
      const tag = `${meter.site}/${meter.device}/total`
      const { readings } = await world.api<Schemas['ReadingList']>(
        `/api/v1/readings?tag=${tag}&from=${Date.now() - 60_000}&to=9999999999999&limit=1000`,
      )
      if (String(readings.at(-1)?.value) !== meter.shown) return undefined
    }
    return meters
  })
}

/**
 * Runs the city, kills edges, gateway and broker at random, and then compares what the gateway holds with what the meters counted.
 * @returns readings of totals in the inbox
 */
export async function killsLoseNothing(world: World, kills: number, seed: number): Promise<number> {
  const draw = random(seed)
  await world.startSimulator()
  // The plants stand still until every meter's first index is at the gateway, so that it is the first one served, too.
  await world.control('POST', '/pause')
  await world.startBroker()
  await world.startGateway()
  for (const { edge } of demoEdges) await world.startEdge(edge)
  await everyTotalArrived(world)
  await world.control('POST', '/resume')
  for (let kill = 0; kill < kills; kill++) {
    const victim = ['e01', 'e02', 'gateway', 'broker'][Math.floor(draw() * 4)] ?? 'gateway'
    await world.kill(victim)
    await new Promise(wait => setTimeout(wait, draw() * 600))
    if (victim === 'broker') await world.startBroker()
    else if (victim === 'gateway') await world.startGateway()
    else await world.startEdge(victim)
    await new Promise(wait => setTimeout(wait, draw() * 1200))
  }
  // The plants stop; the meters are read once more and everything is delivered.
  await world.control('POST', '/pause')
  const totals = await everyTotalArrived(world)
  for (const part of ['e01', 'e02', 'gateway'])
    assert.equal(await world.running.get(part)?.stop(), 0, `${part} stopped`)

  const first = new Map<string, bigint>()
  const last = new Map<string, bigint>()
  const positions = new Map<string, number>()
  const seen = new Set<string>()
  for await (const { entry } of readInbox(join(world.folder, 'gateway/inbox/log'))) {
    if (entry.kind === 'loss') throw new Error(`a loss was declared: ${JSON.stringify(entry)}`)
    if (entry.kind !== 'batch') continue
    const lane = `${entry.edge} ${entry.epoch} ${entry.class}`
    assert.equal(entry.pos, positions.get(lane) ?? entry.pos, `position of ${lane}`)
    positions.set(lane, entry.pos + 1)
    for (const reading of entry.readings) {
      if (!reading.tag.endsWith('/total') || reading.value === null) continue
      const key = `${reading.tag} ${reading.sourceTimestamp}`
      assert(!seen.has(key), `${key} stored twice`)
      seen.add(key)
      const count = BigInt(String(reading.value))
      if (!first.has(reading.tag)) first.set(reading.tag, count)
      last.set(reading.tag, count)
    }
  }
  assert(totals.length > 2, 'meters in the scenario')
  for (const meter of totals) {
    const tag = `${meter.site}/${meter.device}/total`
    const served = BigInt(meter.last?.index ?? -1) - BigInt(meter.first?.index ?? 0)
    assert.equal((last.get(tag) ?? 0n) - (first.get(tag) ?? 0n), served, `${tag}: last minus first`)
    assert(served > 0n, `${tag} counted`)
  }
  return seen.size
}
