import type { Batch } from '@penstock/core/delivery/batch.ts'
import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { ConnectLink } from '@penstock/core/runtime/link.ts'
import { type Backoff, type Supervisor, supervise } from '@penstock/core/runtime/supervisor.ts'
import { tagOf } from '@penstock/core/tag.ts'
import type { AcquisitionSink, Logbook } from '../acquisition/acquisition.ts'
import { AlarmLimitsFile } from './alarm-limits-file.ts'
import { AlarmWatch } from './alarm-watch.ts'
import { EdgeNode, type EdgeNodeStatus } from './edge-node.ts'
import { type PerClass, perClass } from './identity.ts'
import { Outbox } from './outbox.ts'
import type { OutboxCounters, OutboxOptions } from './outbox-options.ts'
import type { StoredTag } from './record.ts'
import type { SessionCounters } from './session.ts'
import type { UplinkSource } from './source.ts'

export interface UplinkOptions extends Omit<OutboxOptions, 'describe'> {
  readonly group: string
  readonly edge: string
  readonly host: string
  readonly username: string | null
  /** brokers that `connect` walks through */
  readonly servers: number
  readonly connect: ConnectLink
  /** name and version of this program */
  readonly software: string
  /** ledger of the site file; null: the first that confirms is pinned */
  readonly ledger: string | null
  readonly backoff?: Backoff
}

export interface UplinkStatus extends EdgeNodeStatus {
  readonly epoch: string
  readonly ledger: string | null
  /** the disk does not take what is written, in words; null: it does */
  readonly diskProblem: string | null
  readonly bytes: number
  readonly maxBytes: number
  readonly classes: PerClass<
    OutboxCounters & {
      /** records that are not confirmed */
      readonly backlog: number
      /** age of the oldest unconfirmed record of this run; null: none, or it is older than this run */
      readonly lagMs: number | null
      readonly window: number
      /** smoothed time from sending to confirmation */
      readonly confirmDelayMs: number | null
    }
  >
  readonly counters: Readonly<SessionCounters>
}

/** From the sink of the acquisition to the gateway: outbox, edge node and the loop that connects again. */
export class Uplink implements AcquisitionSink {
  readonly #options: UplinkOptions
  readonly #outbox: Outbox
  readonly #limits: AlarmLimitsFile
  readonly #alarmWatch = new AlarmWatch()
  readonly #tags: Map<string, Omit<StoredTag, 'tag' | 'type'>>
  #node: EdgeNode | undefined
  #supervisor: Supervisor | undefined
  #closing: Promise<void> | undefined

  private constructor(
    options: UplinkOptions,
    outbox: Outbox,
    limits: AlarmLimitsFile,
    tags: Map<string, Omit<StoredTag, 'tag' | 'type'>>,
  ) {
    this.#options = options
    this.#outbox = outbox
    this.#limits = limits
    this.#tags = tags
  }

  /** Opens the outbox; `start` must follow. @throws PenstockError `disk-full` | `disk-failed` */
  static async open(options: UplinkOptions): Promise<Uplink> {
    const tags = new Map<string, Omit<StoredTag, 'tag' | 'type'>>()
    const outbox = await Outbox.open({ ...options, describe: tag => tags.get(tag) })
    const limits = await AlarmLimitsFile.open(options.files, `${options.folder}/alarm-limits.json`)
    if (options.ledger !== null) await outbox.identity.pin(options.ledger)
    return new Uplink(options, outbox, limits, tags)
  }

  get logbook(): Logbook {
    return this.#outbox.logbook
  }

  get outbox(): Outbox {
    return this.#outbox
  }

  /** The edge node; undefined before `start`. */
  get node(): EdgeNode | undefined {
    return this.#node
  }

  /** Knows the devices from now on, and connects. Before the acquisition's own `start`. */
  start(source: UplinkSource): void {
    for (const { site, device, tags } of source.devices) {
      for (const { name, unit, resolution, modulus } of tags) {
        this.#tags.set(tagOf(site, device, name), { unit, resolution, modulus })
      }
    }
    const { backoff, ticker, random, log, rules } = this.#options
    const node = new EdgeNode({
      ...this.#options,
      ...(rules ? { rules } : {}),
      outbox: this.#outbox,
      source,
      limits: () => this.#limits.known,
      onLimits: async (_hash, limits) => {
        await this.#limits.save(limits)
        source.setAlarmLimits(limits)
      },
    })
    this.#node = node
    source.setAlarmLimits(this.#limits.known?.limits ?? null)
    this.#outbox.watch({ ready: name => node.ready(name), slow: name => node.slow(name) })
    this.#supervisor = supervise({
      ...{ name: 'broker', ticker, random, log },
      attempt: signal => node.attempt(signal),
      ...(backoff ? { backoff } : {}),
    })
  }

  report(batch: Batch, durable?: () => void): void {
    this.#outbox.append(batch, durable)
    if (this.#alarmWatch.concerns(batch.readings, this.#limits.known?.limits ?? null)) this.#outbox.hurry(batch.class)
    this.#node?.report(batch)
  }

  deviceState(device: string, online: boolean): void {
    this.#node?.deviceState(device, online)
  }

  diagnosis(device: string, diagnosis: DeviceDiagnosis): void {
    this.#node?.diagnosis(device, diagnosis)
  }

  status(): UplinkStatus {
    const node = this.#node?.status()
    const outbox = this.#outbox
    const { ticker } = this.#options
    return {
      ...(node ?? { connected: false, hostOnline: false, problem: 'not-connected', text: null, sinceConfirmMs: null }),
      epoch: outbox.identity.epoch,
      ledger: outbox.identity.ledger,
      diskProblem: outbox.diskProblem,
      bytes: outbox.bytes,
      maxBytes: outbox.maxBytes,
      classes: perClass(name => {
        const held = outbox.of(name)
        const appendedAt = held.appendedAt(held.cursor)
        const lane = this.#node?.session?.lane(name)
        return {
          ...outbox.counters[name],
          backlog: held.end - held.cursor,
          lagMs: appendedAt === null || !Number.isFinite(appendedAt) ? null : ticker.now() - appendedAt,
          window: lane?.window ?? 0,
          confirmDelayMs: lane?.delayMs ?? null,
        }
      }),
      counters: this.#node?.counters ?? {
        ...{ births: 0, batches: 0, batchBytes: 0, liveCopies: 0, timeouts: 0 },
        ...{ confirmations: 0, ignoredConfirmations: 0, ignoredCommands: 0 },
      },
    }
  }

  /** A last sync, NDEATH, DISCONNECT; idempotent. Stop the acquisition first. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#outbox.flush()
    await this.#node?.close()
    await this.#supervisor?.close()
    await this.#outbox.close()
  }
}
