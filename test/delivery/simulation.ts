import { type DeliveryClass, deliveryClasses } from '@penstock/core/reading.ts'
import { openDurableLog } from '@penstock/core/runtime/durable-log-open.ts'
import { type Logger, silentLogger } from '@penstock/core/runtime/log.ts'
import { encodePayload } from '@penstock/core/sparkplug/codec.ts'
import { nodeTopic } from '@penstock/core/sparkplug/topics.ts'
import { dataMetric } from '@penstock/core/sparkplug/values.ts'
import { Uplink } from '@penstock/edge/uplink/uplink.ts'
import { type Ingest, openIngest } from '@penstock/gateway/ingest/ingest.ts'
import type { InboxRecord } from '@penstock/gateway/ingest/record.ts'
import { decodeEntry } from '@penstock/gateway/ingest/record-codec.ts'
import { LiveTable } from '@penstock/gateway/live/live-table.ts'
import { type DiskImage, FaultyFiles } from '../support/faulty-files.ts'
import { ManualTime } from '../support/manual-time.ts'
import { type Faults, Network, noFaults } from '../support/network.ts'
import { SeededRandom } from '../support/random.ts'
import { type Findings, judge, type Lineage, type Truth } from './oracle.ts'
import { Plant } from './plant.ts'
import { Process } from './process.ts'

export type Rule =
  | 'rebirthAlienSession'
  | 'sessionNumber'
  | 'tailCheck'
  | 'hello'
  | 'declaredHoles'
  | 'fsyncBeforePublish'

/** How often something happens: times a minute, on average. */
export interface Scenario {
  readonly faultMs: number
  readonly edgeCrashes: number
  readonly gatewayCrashes: number
  readonly brokerCrashes: number
  readonly partitions: number
  /** share of the edge's crashes after which an older image of its disk is put back */
  readonly images: number
  /** share of the gateway's crashes after which an older backup of it is put back */
  readonly backups: number
  /** bytes of the outbox */
  readonly outboxBytes: number
  /** a byte of a stored record changes */
  readonly damages: number
  readonly diskFaults: number
  readonly rebirths: number
  readonly network: Faults
  readonly rules: Readonly<Partial<Record<Rule, false>>>
}

export const calm: Scenario = {
  faultMs: 60_000,
  edgeCrashes: 0,
  gatewayCrashes: 0,
  brokerCrashes: 0,
  partitions: 0,
  images: 0,
  backups: 0,
  outboxBytes: 1024 * 1024,
  damages: 0,
  diskFaults: 0,
  rebirths: 0,
  network: noFaults,
  rules: {},
}

export interface Outcome extends Findings {
  readonly seed: number
  /** after all faults had ended, this was still not delivered; null: everything was */
  readonly stuck: string | null
  readonly batches: number
  readonly simulatedMs: number
  readonly events: Readonly<Record<string, number>>
}

const group = 'g'
const edgeId = 'e01'
const hostId = 'host'
const edgeClient = `${group}.${edgeId}`
const hardwareId = 'box-1'
const drainLimitMs = 30 * 60_000
const start = Date.UTC(2026, 10, 1)

/** One run: faults for a while, then none until everything is delivered, then the gateway's inbox is read from its disk. */
export async function simulate(seed: number, scenario: Scenario, log: Logger = silentLogger): Promise<Outcome> {
  return new Simulation(seed, scenario, log).run()
}

class Simulation {
  readonly #seed: number
  readonly #scenario: Scenario
  readonly #log: Logger
  readonly #random: SeededRandom
  readonly #time = new ManualTime(start)
  readonly #network: Network
  readonly #plant = new Plant()
  readonly #edgeDisk: FaultyFiles
  readonly #gatewayDisk: FaultyFiles
  readonly #events: Record<string, number> = {}
  readonly #epochs = new Map<string, Readonly<Record<DeliveryClass, number>>>()
  readonly #destroyed: Record<DeliveryClass, Set<number>> = { alarm: new Set(), total: new Set(), raw: new Set() }
  readonly #restored: Lineage[] = []
  /** durable batches on the edge's disk as it is now, and all that may be on it */
  #held: Record<DeliveryClass, Set<number>> = { alarm: new Set(), total: new Set(), raw: new Set() }
  #written: Record<DeliveryClass, Set<number>> = { alarm: new Set(), total: new Set(), raw: new Set() }
  #image: { disk: DiskImage; lineage: Lineage } | null = null
  #backup: DiskImage | null = null
  #edge: Process | null = null
  #uplink: Uplink | null = null
  #gateway: Process | null = null
  #ingest: Ingest | null = null
  #edgeBackAt = 0
  #gatewayBackAt = 0
  #brokerBackAt = Number.POSITIVE_INFINITY
  #healAt = new Map<string, number>()
  #boots = 0
  #calm = false

  constructor(seed: number, scenario: Scenario, log: Logger) {
    this.#seed = seed
    this.#scenario = scenario
    this.#log = log
    this.#random = new SeededRandom(seed)
    this.#network = new Network({ time: this.#time, random: this.#random, faults: scenario.network })
    this.#edgeDisk = new FaultyFiles(this.#random.next)
    this.#gatewayDisk = new FaultyFiles(this.#random.next)
  }

  async run(): Promise<Outcome> {
    const end = start + this.#scenario.faultMs
    while (this.#time.now() < end) {
      const step = 10 + this.#random.below(290)
      await this.#time.advance(step)
      this.#restart()
      this.#report()
      this.#noteEpoch()
      this.#mishaps(step / 60_000)
    }
    const stuck = await this.#drain()
    this.#gateway?.die()
    this.#edge?.die()
    this.#gatewayDisk.crash()
    const truth: Truth = {
      reported: this.#plant.reported,
      epochs: this.#epochs,
      images: this.#restored,
      destroyed: this.#destroyed,
    }
    const findings = judge(truth, await this.#inbox())
    const batches = deliveryClasses.reduce((sum, name) => sum + this.#plant.reported[name].length, 0)
    const simulatedMs = this.#time.now() - start
    return { ...findings, seed: this.#seed, stuck, batches, simulatedMs, events: this.#events }
  }

  /** Faults are over: resolves when the edge knows that everything is committed, or says what is not. */
  async #drain(): Promise<string | null> {
    this.#calm = true
    this.#network.faults = { ...noFaults, delayMs: 5 }
    this.#network.restart()
    for (const client of this.#healAt.keys()) this.#network.heal(client)
    this.#edgeDisk.heal()
    this.#gatewayDisk.heal()
    this.#edgeBackAt = Math.min(this.#edgeBackAt, this.#time.now())
    this.#gatewayBackAt = Math.min(this.#gatewayBackAt, this.#time.now())
    const limit = this.#time.now() + drainLimitMs
    let nextBatches = this.#time.now() + 60_000
    while (this.#time.now() < limit) {
      await this.#time.advance(2_000)
      this.#restart()
      this.#noteEpoch()
      if (this.#isDrained()) return null
      // a hole at the end of a class is told with the batch after it
      if (this.#time.now() >= nextBatches) {
        nextBatches += 60_000
        this.#report(1)
      }
    }
    const outbox = this.#uplink?.outbox
    const status = this.#uplink?.status()
    const behind = deliveryClasses.map(name => `${name} ${outbox?.of(name).cursor}/${outbox?.of(name).durableEnd}`)
    return `${behind.join(', ')}; ${status?.problem} ${status?.text ?? ''}; ${JSON.stringify(this.#ingest?.status().counters)}`
  }

  #isDrained(): boolean {
    const outbox = this.#uplink?.outbox
    const session = this.#uplink?.node?.session
    if (!outbox || !session) return false
    // not the cursor: a restored gateway may want again what was confirmed long ago
    return deliveryClasses.every(name => (session.lane(name).acked ?? -1) >= outbox.of(name).end)
  }

  #count(event: string): void {
    if (this.#calm) return
    this.#events[event] = (this.#events[event] ?? 0) + 1
  }

  #report(certainty = 0): void {
    const uplink = this.#uplink
    const edge = this.#edge
    if (!uplink || !edge?.alive) return
    for (const [name, chance] of [
      ['raw', 0.6],
      ['total', 0.2],
      ['alarm', 0.08],
    ] as const) {
      if (!this.#random.chance(Math.max(chance, certainty))) continue
      const device = this.#random.chance(0.5) ? 'a' : 'b'
      const record = uplink.outbox.of(name).end
      const { batch, reported } = this.#plant.batch(
        ...([name, device, record, `boot-${this.#boots}`, edge.clock.now(), edge.ticker.now()] as const),
      )
      const held = this.#held[name]
      this.#written[name].add(reported.serial)
      uplink.report(batch, () => {
        reported.durable = true
        held.add(reported.serial)
      })
    }
  }

  #noteEpoch(): void {
    const identity = this.#uplink?.outbox.identity
    if (identity && identity.epoch !== '') this.#epochs.set(identity.epoch, identity.base)
  }

  #mishaps(minutes: number): void {
    const { edgeCrashes, gatewayCrashes, brokerCrashes, partitions, damages, diskFaults, rebirths } = this.#scenario
    const random = this.#random
    if (random.chance(edgeCrashes * minutes)) this.#edge?.die()
    if (random.chance(gatewayCrashes * minutes)) this.#gateway?.die()
    if (random.chance(brokerCrashes * minutes)) {
      this.#count('broker crash')
      this.#network.crash({ keepRetained: random.chance(0.5) })
      this.#brokerBackAt = this.#time.now() + random.between(0, 8_000)
    }
    if (random.chance(partitions * minutes)) {
      this.#count('partition')
      const client = random.chance(0.5)
        ? edgeClient
        : (this.#network.clients.find(id => id !== edgeClient) ?? edgeClient)
      this.#network.partition(client)
      this.#healAt.set(client, this.#time.now() + random.between(0, random.chance(0.5) ? 5_000 : 60_000))
    }
    if (random.chance(damages * minutes)) this.#damage()
    if (random.chance(diskFaults * minutes)) {
      this.#count('disk fault')
      const disk = random.chance(0.5) ? this.#edgeDisk : this.#gatewayDisk
      disk.fail(random.chance(0.7) ? 'sync' : 'append', random.chance(0.5) ? 'EIO' : 'ENOSPC', 1 + random.below(3))
    }
    if (random.chance(rebirths * minutes)) this.#askForBirths()
    if (random.chance(0.5 * minutes)) this.#switchDevice()
  }

  /** Any Sparkplug host may ask. */
  #askForBirths(): void {
    this.#count('rebirth')
    const metrics = [dataMetric('Boolean', true, { name: 'Node Control/Rebirth', timestamp: this.#time.now() })]
    const payload = encodePayload({ timestamp: this.#time.now(), metrics })
    this.#network.deliver('scada', { topic: nodeTopic(group, 'NCMD', edgeId), payload, qos: 0, retain: false })
  }

  #switchDevice(): void {
    const online = !this.#plant.isOnline('plant:b')
    this.#plant.setOnline('plant:b', online)
    this.#uplink?.deviceState('plant:b', online)
  }

  /** Changes a byte in a segment that is not being written. */
  #damage(): void {
    const { files } = { files: this.#edgeDisk.paths }
    const closed = deliveryClasses.flatMap(name =>
      files.filter(path => path.startsWith(`outbox/${name}/`)).slice(0, -1),
    )
    const path = closed[this.#random.below(closed.length)]
    if (path === undefined) return
    this.#count('damage')
    this.#edgeDisk.damage(path, content => {
      const at = this.#random.below(content.length)
      content[at] = (content[at] ?? 0) ^ (1 << this.#random.below(8))
    })
  }

  #restart(): void {
    const now = this.#time.now()
    if (now >= this.#brokerBackAt) {
      this.#brokerBackAt = Number.POSITIVE_INFINITY
      this.#network.restart()
    }
    for (const [client, at] of this.#healAt) {
      if (now < at) continue
      this.#network.heal(client)
      this.#healAt.delete(client)
    }
    if (!this.#edge && now >= this.#edgeBackAt) this.#startEdge()
    if (!this.#gateway && now >= this.#gatewayBackAt) this.#startGateway()
  }

  /** At which of its file operations a process dies by itself: some never, some soon. */
  #deathAt(rate: number): number | null {
    return !this.#calm && rate > 0 && this.#random.chance(0.3) ? 1 + this.#random.below(300) : null
  }

  #startEdge(): void {
    const { edgeCrashes, outboxBytes, rules } = this.#scenario
    const random = this.#random
    const process = new Process({
      time: this.#time,
      disk: this.#edgeDisk,
      random,
      clockOffsetMs: 0,
      syncMs: 120,
      dieAtOperation: this.#deathAt(edgeCrashes),
      onDeath: () => this.#edgeDied(process),
    })
    this.#edge = process
    this.#boots++
    Uplink.open({
      ...{ group, edge: edgeId, host: hostId, username: null, servers: 1, software: 'test', ledger: null },
      ...{ files: process.files, folder: 'outbox', clock: process.clock, ticker: process.ticker },
      connect: this.#network.connect,
      log: this.#log.child({ part: 'edge' }),
      random: random.next,
      hardwareId,
      limits: { maxBytes: outboxBytes, segmentBytes: 4096, syncMs: 100, maxAgeMs: 0 },
      boot: { id: `boot-${this.#boots}`, monotonicMs: () => process.ticker.now() },
      trust: 'trusted',
      rules,
      backoff: { minMs: 200, maxMs: 5_000, stableMs: 5_000 },
    }).then(
      uplink => {
        if (!process.alive) return
        this.#uplink = uplink
        uplink.start(this.#plant)
      },
      () => process.die(),
    )
  }

  #edgeDied(process: Process): void {
    if (this.#edge !== process) return
    this.#count('edge crash')
    this.#noteEpoch()
    this.#edge = null
    this.#uplink = null
    this.#edgeBackAt = this.#time.now() + this.#random.between(0, this.#random.chance(0.8) ? 3_000 : 20_000)
    this.#network.kill(edgeClient)
    if (this.#random.chance(0.6)) this.#edgeDisk.crash()
    else this.#edgeDisk.kill()
    const { images } = this.#scenario
    if (images === 0 || this.#calm) return
    if (this.#image && this.#random.chance(images)) {
      this.#count('disk image')
      this.#edgeDisk.restore(this.#image.disk)
      const { held, written } = this.#image.lineage
      for (const name of deliveryClasses) {
        for (const serial of this.#held[name]) if (!held[name].has(serial)) this.#destroyed[name].add(serial)
      }
      this.#held = copyOf(held)
      this.#written = copyOf(written)
      this.#restored.push(this.#image.lineage)
    } else if (this.#random.chance(0.5)) {
      this.#image = {
        disk: this.#edgeDisk.snapshot(),
        lineage: { held: copyOf(this.#held), written: copyOf(this.#written) },
      }
    }
  }

  #startGateway(): void {
    const { gatewayCrashes, rules } = this.#scenario
    const random = this.#random
    const process = new Process({
      time: this.#time,
      disk: this.#gatewayDisk,
      random,
      clockOffsetMs: 0,
      syncMs: 60,
      dieAtOperation: this.#deathAt(gatewayCrashes),
      onDeath: () => this.#gatewayDied(process),
    })
    this.#gateway = process
    openIngest({
      config: { hostId, groups: [group], folder: 'gateway', segmentBytes: 16 * 1024, maxBytes: 2 ** 30 },
      ...{ files: process.files, clock: process.clock, ticker: process.ticker },
      connect: this.#network.connect,
      log: this.#log.child({ part: 'gateway' }),
      registry: {
        edge: (_, id) => (id === edgeId ? { hardwareId } : null),
        boundHardware: () => null,
        bindHardware: () => {},
        groupOfSite: () => group,
      },
      consumers: [keepsEverything],
      live: new LiveTable(),
      random: random.next,
      limits: { limitsFor: () => null, readsLive: tag => tag.endsWith('/alarm') },
      newLedger: () => 'ledger-1',
      rules,
    }).then(
      ingest => {
        if (process.alive) this.#ingest = ingest
      },
      () => process.die(),
    )
  }

  #gatewayDied(process: Process): void {
    if (this.#gateway !== process) return
    this.#count('gateway crash')
    this.#gateway = null
    this.#ingest = null
    this.#gatewayBackAt = this.#time.now() + this.#random.between(0, this.#random.chance(0.8) ? 3_000 : 20_000)
    for (const client of this.#network.clients) if (client !== edgeClient) this.#network.kill(client)
    if (this.#random.chance(0.6)) this.#gatewayDisk.crash()
    else this.#gatewayDisk.kill()
    const { backups } = this.#scenario
    if (backups === 0 || this.#calm) return
    if (this.#backup && this.#random.chance(backups)) {
      this.#count('gateway backup')
      this.#gatewayDisk.restore(this.#backup)
    } else if (this.#random.chance(0.5)) this.#backup = this.#gatewayDisk.snapshot()
  }

  /** What is in the inbox on the disk. */
  async #inbox(): Promise<InboxRecord[]> {
    const log = await openDurableLog({
      folder: 'gateway/inbox/log',
      files: this.#gatewayDisk,
      segmentBytes: 16 * 1024,
      chain: true,
    })
    const records: InboxRecord[] = []
    for (let from = log.first; from < log.durableEnd; ) {
      const found = await log.read(from, 10_000, 4 * 2 ** 20)
      for (const record of found) {
        const entry = decodeEntry(record)
        if (entry.kind !== 'checkpoint') records.push({ position: record.position, entry })
      }
      const last = found.at(-1)
      if (!last) break
      from = last.position + 1
    }
    return records
  }
}

/** A consumer that is never done, so that nothing leaves the inbox. */
const keepsEverything = {
  name: 'judge',
  cursor: 0,
  apply: async () => {},
  flush: async () => {},
  close: async () => {},
}

const copyOf = (held: Readonly<Record<DeliveryClass, ReadonlySet<number>>>): Record<DeliveryClass, Set<number>> => ({
  alarm: new Set(held.alarm),
  total: new Set(held.total),
  raw: new Set(held.raw),
})
