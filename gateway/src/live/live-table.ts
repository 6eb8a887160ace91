import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { DataType, DeliveryClass, Quality, Reading, Reason, Value } from '@penstock/core/reading.ts'
import type { LiveTag } from './table.ts'

/** What a birth says of a tag beside its value. */
export interface TagDeclaration {
  readonly tag: string
  readonly type: DataType
  readonly class: DeliveryClass
  readonly unit: string | null
  readonly scanMs: number | null
  readonly deadband: number | null
  readonly heartbeatMs: number | null
  readonly resolution: string | null
  readonly modulus: string | null
}

/** A tag as the table keeps it; only the table changes it. */
interface Slot {
  readonly tag: string
  declaration: TagDeclaration
  edge: string
  device: string
  value: Value | null
  quality: Quality
  reason: Reason | null
  sourceTimestamp: number
  receivedAt: number
  goodValue: Value | null
  goodAt: number
  /** ms without news after which it counts as stale; Infinity: never (a foreign node that reports changes only) */
  staleMs: number
  stale: boolean
  version: number
  older: Slot | null
  newer: Slot | null
}

/** How often a tag may fail to come before it is shown as stale. */
const missedReports = 3

/**
 * The newest value of every tag, fed by births, live copies and batches that are not history. Not durable.
 * `version` grows with every change; a chain of tags in order of change gives the event stream what is new.
 */
export class LiveTable {
  readonly #slots = new Map<string, Slot>()
  readonly #devices = new Map<string, Map<string, Slot>>()
  readonly #diagnoses = new Map<string, DeviceDiagnosis>()
  #newest: Slot | null = null
  #version = 0

  get version(): number {
    return this.#version
  }

  get size(): number {
    return this.#slots.size
  }

  /**
   * A birth lists the tag. Its value follows by `update`. The edge that declared it last owns it, but one that is not registered
   * takes no tag from another: then false.
   */
  declare(edge: string, device: string, declaration: TagDeclaration, now: number, registered: boolean): boolean {
    const { tag, scanMs, heartbeatMs } = declaration
    let slot = this.#slots.get(tag)
    if (slot && slot.edge !== edge && !registered) return false
    if (!slot) {
      slot = newSlot(declaration, edge, device, now)
      this.#slots.set(tag, slot)
      this.#append(slot)
    } else if (slot.declaration.type !== declaration.type) {
      slot.goodValue = null
    }
    const own = deviceKey(edge, device)
    const before = deviceKey(slot.edge, slot.device)
    if (before !== own) this.#devices.get(before)?.delete(tag)
    let tags = this.#devices.get(own)
    if (!tags) {
      tags = new Map()
      this.#devices.set(own, tags)
    }
    tags.set(tag, slot)
    slot.declaration = declaration
    slot.edge = edge
    slot.device = device
    slot.staleMs =
      scanMs === null && heartbeatMs === null
        ? Number.POSITIVE_INFINITY
        : missedReports * Math.max(scanMs ?? 0, heartbeatMs ?? 0)
    this.#touch(slot)
    return true
  }

  /**
   * A value of the current session that is not history. `inOrder` false: it came late or twice, so that an older source time
   * means an older value; otherwise the session has the say, not the stamp. Values of a tag that another edge owns are left out.
   */
  update(edge: string, reading: Reading, receivedAt: number, inOrder: boolean): void {
    const slot = this.#slots.get(reading.tag)
    if (!slot || slot.edge !== edge) return
    if (!inOrder && reading.sourceTimestamp < slot.sourceTimestamp) return
    slot.value = reading.value
    slot.quality = reading.quality
    slot.reason = reading.reason
    slot.sourceTimestamp = reading.sourceTimestamp
    slot.receivedAt = receivedAt
    slot.stale = false
    if (reading.value !== null && reading.quality === 'good') {
      slot.goodValue = reading.value
      slot.goodAt = reading.sourceTimestamp
    }
    this.#touch(slot)
  }

  /** All tags of an edge, or of one of its devices, are bad from now on; returns their names. */
  offline(edge: string, device: string | null, reason: Reason, now: number): string[] {
    const names: string[] = []
    for (const slot of this.#of(edge, device)) {
      names.push(slot.tag)
      slot.value = null
      slot.quality = 'bad'
      slot.reason = reason
      slot.receivedAt = now
      slot.stale = false
      this.#touch(slot)
    }
    return names
  }

  /** Tags of a device in the order of its births. */
  tagsOf(edge: string, device: string): string[] {
    return [...(this.#devices.get(deviceKey(edge, device))?.keys() ?? [])]
  }

  /** A birth no longer lists these tags. */
  retire(edge: string, device: string, isListed: (tag: string) => boolean, now: number): void {
    for (const slot of this.#of(edge, device)) {
      if (isListed(slot.tag) || slot.reason === 'retired') continue
      slot.value = null
      slot.quality = 'bad'
      slot.reason = 'retired'
      slot.receivedAt = now
      slot.staleMs = Number.POSITIVE_INFINITY
      this.#touch(slot)
    }
  }

  get(tag: string, now: number): LiveTag | undefined {
    const slot = this.#slots.get(tag)
    return slot && view(slot, now)
  }

  *all(now: number): Generator<LiveTag> {
    for (const slot of this.#slots.values()) yield view(slot, now)
  }

  /** Tags changed after `version`, oldest change first. A tag stands once, as it is now. */
  changesSince(version: number, now: number): { readonly version: number; readonly tags: LiveTag[] } {
    const tags: LiveTag[] = []
    for (let slot = this.#newest; slot && slot.version > version; slot = slot.older) tags.push(view(slot, now))
    return { version: this.#version, tags: tags.reverse() }
  }

  /** Makes tags that have grown stale since the last call appear in `changesSince`. */
  sweep(now: number): void {
    for (const slot of this.#slots.values()) {
      if (slot.stale || !isStale(slot, now)) continue
      slot.stale = true
      this.#touch(slot)
    }
  }

  setDiagnosis(edge: string, device: string, diagnosis: DeviceDiagnosis): void {
    this.#diagnoses.set(deviceKey(edge, device), diagnosis)
  }

  /** What the edge last said about its exchange with a device (`device` is the Sparkplug id). */
  diagnosis(edge: string, device: string): DeviceDiagnosis | undefined {
    return this.#diagnoses.get(deviceKey(edge, device))
  }

  *#of(edge: string, device: string | null): Generator<Slot> {
    if (device !== null) {
      yield* this.#devices.get(deviceKey(edge, device))?.values() ?? []
      return
    }
    const prefix = deviceKey(edge, '')
    for (const [key, tags] of this.#devices) if (key.startsWith(prefix)) yield* tags.values()
  }

  #touch(slot: Slot): void {
    slot.version = ++this.#version
    if (slot === this.#newest) return
    const { older, newer } = slot
    if (older) older.newer = newer
    if (newer) newer.older = older
    this.#append(slot)
  }

  #append(slot: Slot): void {
    slot.older = this.#newest
    slot.newer = null
    if (this.#newest) this.#newest.newer = slot
    this.#newest = slot
  }
}

/** `group/edge/device`: none of the three can contain a slash. */
const deviceKey = (edge: string, device: string): string => `${edge}/${device}`

const newSlot = (declaration: TagDeclaration, edge: string, device: string, now: number): Slot => ({
  tag: declaration.tag,
  declaration,
  edge,
  device,
  value: null,
  quality: 'bad',
  reason: 'not-read',
  sourceTimestamp: Number.NEGATIVE_INFINITY,
  receivedAt: now,
  goodValue: null,
  goodAt: 0,
  staleMs: Number.POSITIVE_INFINITY,
  stale: false,
  version: 0,
  older: null,
  newer: null,
})

const isStale = (slot: Slot, now: number): boolean => slot.quality !== 'bad' && now - slot.receivedAt > slot.staleMs

/** Nothing ever shows a stale value as fresh. */
function view(slot: Slot, now: number): LiveTag {
  const stale = isStale(slot, now)
  const { declaration } = slot
  return {
    tag: slot.tag,
    edge: slot.edge,
    type: declaration.type,
    class: declaration.class,
    unit: declaration.unit,
    value: stale ? null : slot.value,
    quality: stale ? 'bad' : slot.quality,
    reason: stale ? 'timeout' : slot.reason,
    sourceTimestamp: slot.sourceTimestamp === Number.NEGATIVE_INFINITY ? slot.receivedAt : slot.sourceTimestamp,
    receivedAt: slot.receivedAt,
    lastGood: slot.goodValue === null ? null : { value: slot.goodValue, sourceTimestamp: slot.goodAt },
    scanMs: declaration.scanMs,
    deadband: declaration.deadband,
    heartbeatMs: declaration.heartbeatMs,
    resolution: declaration.resolution,
    modulus: declaration.modulus,
  }
}
