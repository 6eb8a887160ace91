import type { DeliveryClass } from '@penstock/core/reading.ts'
import { deliveryClasses } from '@penstock/core/reading.ts'
import type { BirthPlan, BornDevice } from './births.ts'
import type { Outbox } from './outbox.ts'
import type { SessionWriter } from './session-writer.ts'
import type { UplinkSource } from './source.ts'

export interface DeviceLivesOptions {
  readonly writer: SessionWriter
  readonly source: UplinkSource
  readonly outbox: Outbox
  readonly plan: BirthPlan
}

/** How far a class has been sent, as a record number; null: there was no hello yet. */
export type SentOf = (name: DeliveryClass) => number | null

/**
 * DBIRTH and DDEATH of the devices of one session. A device that is gone stays born until the last of its pending batches went
 * out, and is born once more for batches that come later (delivery protocol, rule 6).
 */
export class DeviceLives {
  readonly #options: DeviceLivesOptions
  readonly #dying = new Set<string>()

  constructor(options: DeviceLivesOptions) {
    this.#options = options
  }

  /** All DBIRTHs that follow an NBIRTH (tck-id-payloads-dbirth-order). */
  bearAll(): void {
    const { plan, source } = this.#options
    for (const device of plan.devices.values()) {
      this.#bear(device)
      if (device.retired || !source.isOnline(device.id)) this.#dying.add(device.id)
    }
  }

  /** A batch of the device follows: if it is dead it is born with null values. */
  bearForBatch(device: BornDevice): void {
    if (device.alive) return
    const { writer, outbox } = this.#options
    writer.dbirth(device, () => undefined, this.#diagnosisOf(device), outbox.stamps.monotonicMs())
    this.#dying.add(device.id)
  }

  came(device: BornDevice): void {
    this.#dying.delete(device.id)
    if (!device.alive) this.#bear(device)
  }

  went(device: BornDevice): void {
    this.#dying.add(device.id)
  }

  /** DDEATH of what is gone and has nothing pending; `patient`: without a hello it is too early to say. */
  settle(sentOf: SentOf, patient: boolean): void {
    const { plan, source, outbox, writer } = this.#options
    for (const id of this.#dying) {
      const device = plan.devices.get(id)
      if (!device?.alive || (!device.retired && source.isOnline(id))) {
        this.#dying.delete(id)
        continue
      }
      const waiting = deliveryClasses.some(name => {
        const sent = sentOf(name)
        return sent === null ? patient : outbox.hasUnsent(id, name, sent)
      })
      if (waiting) continue
      this.#dying.delete(id)
      const diagnosis = this.#diagnosisOf(device)
      if (diagnosis) writer.diagnosis(device, diagnosis)
      writer.ddeath(device)
    }
  }

  #bear(device: BornDevice): void {
    const { source, writer, outbox } = this.#options
    const current = new Map(device.retired ? [] : source.current(device.id).map(reading => [reading.tag, reading]))
    writer.dbirth(
      device,
      tag => (tag.retired ? undefined : current.get(tag.tag)),
      this.#diagnosisOf(device),
      outbox.stamps.monotonicMs(),
    )
  }

  #diagnosisOf(device: BornDevice) {
    return device.retired ? null : this.#options.source.diagnosis(device.id)
  }
}
