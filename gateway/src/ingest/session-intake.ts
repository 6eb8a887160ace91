import type { DeclaredLoss } from '@penstock/core/delivery/batch.ts'
import { batchUuid, decodeBatchHead, endMetric, metricNames } from '@penstock/core/delivery/wire.ts'
import { deliveryClasses, type Reading } from '@penstock/core/reading.ts'
import type { Payload } from '@penstock/core/sparkplug/payload.ts'
import { countOf, readTags, textOf, toReading } from './births.ts'
import { readDiagnosis, readLoss } from './edge-reports.ts'
import type { EdgeState, EdgeVerb, IntakeContext } from './edge-state.ts'
import type { Instant } from './instant.ts'
import type { Arrival } from './sequence.ts'
import type { Session } from './session.ts'

const alienGraceMs = 5_000
const alienLimit = 3
const maxDevices = 2_000

/** What comes between one NBIRTH of an edge and the next: births and deaths of devices, batches, live copies, reports. */
export class SessionIntake {
  readonly session: Session
  readonly #edge: EdgeState
  readonly #context: IntakeContext

  constructor(session: Session, edge: EdgeState, context: IntakeContext) {
    this.session = session
    this.#edge = edge
    this.#context = context
  }

  /** Everything between two births carries the next sequence number. @throws PenstockError what the inbox throws */
  receive(verb: EdgeVerb, device: string | null, payload: Payload, at: Instant): void {
    const { seq } = payload
    if (seq === undefined || seq > 255) {
      this.#edge.malformed(verb, 'no sequence number from 0 to 255')
      return
    }
    const arrival = this.session.sequence.accept(seq, at.tick)
    if (verb === 'DBIRTH' && device !== null) this.#deviceBirth(device, payload, at)
    else if (verb === 'DDEATH' && device !== null) this.#deviceDeath(device, at)
    else this.#data(device, payload, arrival, at)
  }

  /**
   * Declares the tags of a birth and shows their values; those of a foreign node count. Returns the site, or null if there was
   * no tag to tell it by. A site of another group makes the edge a refused one.
   */
  declareTags(device: string | null, payload: Payload, at: Instant): string | null {
    const { live, admission } = this.#context
    const tags = readTags(this.#edge.id, device, payload)
    const listed = new Set<string>()
    const readings: Reading[] = []
    let site: string | null = null
    for (const { source, metric } of tags) {
      site = source.tag.slice(0, source.tag.indexOf('/'))
      this.session.sites.add(site)
      if (!admission.mayServe(this.#edge.group, site)) {
        this.#edge.refusal ??= 'foreign-site'
        this.#refuseTag(source.tag, 'its site belongs to another group')
      }
      if (!this.session.declare(source, metric)) {
        this.#refuseTag(source.tag, 'too many tags')
        continue
      }
      if (source.retyped) continue
      listed.add(source.tag)
      if (!live.declare(this.#edge.edge, device ?? '', source, at.now, this.#edge.refusal === null)) {
        this.#refuseTag(source.tag, 'another edge has it')
        continue
      }
      const reading = toReading(source, metric, payload.timestamp ?? at.now)
      readings.push(source.retired ? { ...reading, value: null, quality: 'bad', reason: 'retired' } : reading)
    }
    live.retire(this.#edge.edge, device ?? '', tag => listed.has(tag), at.now)
    this.#edge.liveLane.show(readings, true, at.now)
    this.#spread(readings, [], at)
    return site
  }

  #deviceBirth(device: string, payload: Payload, at: Instant): void {
    const { counters } = this.#context
    counters.births++
    if (!this.#edge.presence.devices.has(device) && this.#edge.presence.devices.size >= maxDevices) {
      counters.refusedTags++
      this.#context.note('too many devices', this.#edge.edge, device)
      return
    }
    this.#edge.measureSkew(payload, at)
    const site = this.declareTags(device, payload, at)
    this.session.born.add(device)
    this.#edge.presence.deviceOnline(device, site)
    if (this.#edge.refusal === null) this.#edge.presence.announce([device], at)
    this.#diagnosis(device, payload)
  }

  #deviceDeath(device: string, at: Instant): void {
    this.#context.counters.deaths++
    this.session.born.delete(device)
    this.#edge.presence.deviceOffline(device, at, this.#edge.refusal === null)
  }

  #data(device: string | null, payload: Payload, arrival: Arrival, at: Instant): void {
    const { counters } = this.#context
    if (device === null) this.#nodeReports(payload, at)
    else if (!this.session.born.has(device)) {
      counters.beforeBirth++
      this.#unresolved('data of a device before its birth')
      return
    }
    if (payload.uuid === batchUuid && payload.body !== undefined && this.session.birth.delivery) {
      this.#batch(device, payload, payload.body, arrival, at)
      return
    }
    const { current, history, unresolved } = this.session.readings(device, payload, at.now)
    if (unresolved > 0) this.#unresolved('an alias that no birth declared', unresolved)
    if (history.length === 0) this.#edge.measureSkew(payload, at)
    counters.liveCopies++
    counters.liveReadings += current.length
    this.#edge.liveLane.show(current, arrival === 'in-order', at.now)
    this.#spread(current, history, at)
    if (device !== null) this.#diagnosis(device, payload)
  }

  #batch(device: string | null, payload: Payload, body: Uint8Array, arrival: Arrival, at: Instant): void {
    const { counters, rules } = this.#context
    const { value: head, problem } = decodeBatchHead(body)
    if (!head) {
      this.#edge.malformed('batch', problem)
      return
    }
    const { delivery } = this.session.birth
    if (head.session !== delivery?.session && rules.sessionNumber !== false) {
      this.#alien(at)
      return
    }
    this.session.end[head.class] = Math.max(this.session.end[head.class], head.pos + 1)
    const { current, history, unresolved } = this.session.readings(device, payload, at.now)
    if (unresolved > 0) {
      this.#unresolved('an alias that no birth declared', unresolved)
      return
    }
    const live = history.length === 0
    if (live) this.#edge.measureSkew(payload, at)
    if (!this.session.lane) return
    if (head.pos >= this.session.lane.next(head.class))
      this.#edge.liveLane.show(current, arrival === 'in-order', at.now)
    if (this.#edge.refusal !== null) {
      counters.refusedBatches++
      return
    }
    const mixed = !live && current.length > 0
    const readings = live ? current : mixed ? this.session.readingsInOrder(device, payload, at.now) : history
    const losses = device === null ? this.#losses(payload) : []
    const skewMs = this.#edge.skew.ms ?? 0
    const batch = { head, readings, losses, receivedAt: at.now, skewMs, live }
    if (!this.session.lane.offer(batch, at.tick)) return
    this.#edge.waitsForCommit = true
    this.#edge.rebirth.progress()
    const last = readings.at(-1)
    if (last) this.#edge.lagMs = at.now - last.sourceTimestamp - skewMs
  }

  /** Beyond the screens: to the alarms, or, for a node without positions, into what counts. Of registered edges only. */
  #spread(current: readonly Reading[], history: readonly Reading[], at: Instant): void {
    if (this.#edge.refusal !== null) return
    const skewMs = this.#edge.skew.ms ?? 0
    if (this.session.birth.delivery) {
      this.#edge.liveLane.alarm(current, at.now, skewMs)
      return
    }
    this.#edge.liveLane.countByKey(history, false, at.now, skewMs)
    this.#edge.liveLane.countByKey(current, true, at.now, skewMs)
    this.#edge.rebirth.progress()
  }

  #alien(at: Instant): void {
    const { counters, rules } = this.#context
    counters.alienBatches++
    this.session.aliens++
    if (rules.rebirthAlienSession === false) return
    if (this.session.aliens >= alienLimit || at.tick - this.session.bornAt >= alienGraceMs) {
      this.#edge.rebirth.want('batches of another session')
    }
  }

  /** What the node says about itself: positions, hash of its alarm limits. Who still tells its positions awaits the hello. */
  #nodeReports(payload: Payload, at: Instant): void {
    let waits = false
    for (const metric of payload.metrics) {
      // it waits for a hello to an NBIRTH that did not arrive; what it sends until then shows it nowhere else
      if (metric.name === metricNames.session && countOf(metric) !== this.session.birth.delivery?.session) {
        this.#alien(at)
        return
      }
      if (metric.name === metricNames.alarmLimitsHash) this.#edge.limitsHash = textOf(metric) ?? ''
      for (const name of deliveryClasses) {
        if (metric.name !== endMetric(name)) continue
        this.session.end[name] = Math.max(this.session.end[name], countOf(metric) ?? 0)
        waits = true
      }
    }
    if (waits) this.session.confirm.at(at.tick)
  }

  #diagnosis(device: string, payload: Payload): void {
    for (const metric of payload.metrics) {
      if (metric.name !== metricNames.diagnostics) continue
      const diagnosis = readDiagnosis(metric)
      if (diagnosis) this.#context.live.setDiagnosis(this.#edge.edge, device, diagnosis)
      else this.#edge.malformed('diagnostics', 'not a diagnosis')
    }
  }

  #losses(payload: Payload): DeclaredLoss[] {
    return payload.metrics.flatMap(metric => {
      if (metric.name !== metricNames.loss) return []
      const loss = readLoss(metric)
      if (!loss) this.#edge.malformed('loss', 'not a declared loss')
      return loss ?? []
    })
  }

  /** While a message is missing the birth may be the one; otherwise the edge has to be born again. */
  #unresolved(reason: string, metrics = 0): void {
    this.#context.counters.unresolved += metrics
    if (this.session.sequence.gapSince === forever) this.#edge.rebirth.want(reason)
  }

  #refuseTag(tag: string, why: string): void {
    this.#context.counters.refusedTags++
    this.#context.note('tag refused', this.#edge.edge, `${tag}: ${why}`)
  }
}

const forever = Number.POSITIVE_INFINITY
