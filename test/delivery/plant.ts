import type { Batch } from '@penstock/core/delivery/batch.ts'
import type { DeviceDescription, TagDescription } from '@penstock/core/description.ts'
import { type DeliveryClass, deliveryClasses, type Reading } from '@penstock/core/reading.ts'
import type { UplinkSource } from '@penstock/edge/uplink/source.ts'

const site = 'plant'

/** One tag a class and device; its value is the number of the batch, so that every batch can be told from every other. */
const tag = (name: DeliveryClass): TagDescription => ({
  name,
  type: 'Int64',
  class: name,
  unit: null,
  scanMs: 1000,
  deadband: null,
  heartbeatMs: 60_000,
  resolution: null,
  modulus: null,
  min: null,
  max: null,
})

const describe = (device: string): DeviceDescription => ({
  site,
  device,
  area: null,
  profile: 'test',
  tags: deliveryClasses.map(tag),
})

/** What was reported in one batch; the truth against which the inbox is held. */
export interface Reported {
  readonly class: DeliveryClass
  /** counts over the whole run, never used twice in a class */
  readonly serial: number
  readonly tag: string
  readonly sourceTimestamp: number
  /** number of its record in the log of the class */
  readonly record: number
  /** the outbox said that it is on the disk */
  durable: boolean
}

/** Instruments that outlive the edge's processes. */
export class Plant implements UplinkSource {
  readonly devices: readonly DeviceDescription[] = [describe('a'), describe('b')]
  readonly reported: Record<DeliveryClass, Reported[]> = { alarm: [], total: [], raw: [] }
  readonly #newest = new Map<string, Reading>()
  readonly #offline = new Set<string>()

  current(device: string): readonly Reading[] {
    const prefix = `${device.replace(':', '/')}/`
    return [...this.#newest.values()].filter(reading => reading.tag.startsWith(prefix))
  }

  isOnline(device: string): boolean {
    return !this.#offline.has(device)
  }

  setOnline(device: string, online: boolean): void {
    if (online) this.#offline.delete(device)
    else this.#offline.add(device)
  }

  diagnosis() {
    const counters = {}
    return {
      address: 'test',
      state: 'ok',
      since: 0,
      lastRequest: null,
      lastAnswer: null,
      lastError: null,
      nextTryAt: null,
      counters,
    } as const
  }

  setAlarmLimits(): void {}

  /** A batch with the next number of its class. */
  batch(name: DeliveryClass, device: 'a' | 'b', record: number, bootId: string, now: number, monotonicMs: number) {
    const serial = this.reported[name].length
    const reported: Reported = {
      ...{ class: name, serial, tag: `${site}/${device}/${name}`, sourceTimestamp: now, record, durable: false },
    }
    this.reported[name].push(reported)
    const reading = {
      ...{ tag: reported.tag, type: 'Int64' as const, value: BigInt(serial), quality: 'good' as const, reason: null },
      ...{ sourceTimestamp: now, monotonicMs },
    }
    this.#newest.set(reading.tag, reading)
    const batch: Batch = { class: name, device: `${site}:${device}`, bootId, readings: [reading] }
    return { batch, reported }
  }
}
