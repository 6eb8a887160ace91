import {
  type AlarmLimits,
  alarmLimitsHash,
  formatAlarmLimits,
  parseAlarmLimits,
} from '@penstock/core/delivery/alarm-limits.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import { readText } from './identity.ts'

export interface KnownLimits {
  readonly hash: string
  readonly limits: AlarmLimits
}

/** The set and reset points of all alarm rules, as the gateway sent them last; they survive a restart. */
export class AlarmLimitsFile {
  readonly #files: FileLayer
  readonly #path: string
  #known: KnownLimits | null

  private constructor(files: FileLayer, path: string, known: KnownLimits | null) {
    this.#files = files
    this.#path = path
    this.#known = known
  }

  /** What cannot be read counts as unknown: then no deadband holds anything back, and the gateway sends it again. */
  static async open(files: FileLayer, path: string): Promise<AlarmLimitsFile> {
    const text = await readText(files, path)
    return new AlarmLimitsFile(files, path, text === null ? null : parseAlarmLimits(text).value)
  }

  get known(): KnownLimits | null {
    return this.#known
  }

  async save(limits: AlarmLimits): Promise<void> {
    await this.#files.replace(this.#path, new TextEncoder().encode(formatAlarmLimits(limits)))
    this.#known = { hash: alarmLimitsHash(limits), limits }
  }
}
