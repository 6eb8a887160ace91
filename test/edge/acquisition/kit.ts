import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Batch, BatchReading } from '@penstock/core/delivery/batch.ts'
import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import { type Profile, ProfileSchema } from '@penstock/core/profile/schema.ts'
import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import {
  type Acquisition,
  type AcquisitionSink,
  type Logbook,
  openAcquisition,
} from '@penstock/edge/acquisition/acquisition.ts'
import { type SiteFile, SiteFileSchema } from '@penstock/edge/config/site-file.ts'
import { Value } from 'typebox/value'
import { parse } from 'yaml'

const builtIn = join(import.meta.dirname, '../../../edge/profiles')

export const builtInProfile = (name: string): Profile =>
  profileOf(parse(readFileSync(join(builtIn, `${name}.yaml`), 'utf8')))

/** A profile with the defaults of the schema; throws when it does not fit. */
export function profileOf(raw: object): Profile {
  const value = Value.Default(ProfileSchema, structuredClone(raw))
  if (!Value.Check(ProfileSchema, value))
    throw new Error(JSON.stringify(Value.Errors(ProfileSchema, value).slice(0, 3)))
  return value
}

/** A site file from the parts that matter to acquisition. */
export function siteOf(
  raw: { channels: object[]; devices: object[]; scanClasses?: Record<string, number> },
  profiles: readonly Profile[] = [],
): SiteFile {
  const file = Value.Default(SiteFileSchema, {
    edge: { group: '320706', id: 'e01' },
    host: 'penstock',
    broker: { urls: ['mqtt://127.0.0.1:1883'] },
    ...structuredClone(raw),
  })
  if (!Value.Check(SiteFileSchema, file))
    throw new Error(JSON.stringify(Value.Errors(SiteFileSchema, file).slice(0, 3)))
  const known = new Map(profiles.map(profile => [profile.profile, profile]))
  for (const { profile } of file.devices) if (!known.has(profile)) known.set(profile, builtInProfile(profile))
  const { profiles: _, ...rest } = file
  return { ...rest, profileOf: known }
}

/** Keeps what the acquisition says, in order. */
export class Recorder implements AcquisitionSink {
  readonly batches: Batch[] = []
  readonly durables: (() => void)[] = []
  /** everything in order: `batch <device> <class>` or `online|offline <device>` */
  readonly story: string[] = []
  readonly diagnoses: { device: string; diagnosis: DeviceDiagnosis }[] = []
  /** called within `deviceState`, to look at the acquisition at that moment */
  onState: (device: string, online: boolean) => void = () => {}

  report(batch: Batch, durable?: () => void): void {
    this.batches.push(batch)
    this.story.push(`batch ${batch.device} ${batch.class}`)
    if (durable) this.durables.push(durable)
  }

  deviceState(device: string, online: boolean): void {
    this.story.push(`${online ? 'online' : 'offline'} ${device}`)
    this.onState(device, online)
  }

  diagnosis(device: string, diagnosis: DeviceDiagnosis): void {
    this.diagnoses.push({ device, diagnosis })
  }

  readingsOf(tag: string): BatchReading[] {
    return this.batches.flatMap(batch => batch.readings.filter(reading => reading.tag === tag))
  }
}

const noLogbook: Logbook = { lastRow: () => null }

export function open(
  site: SiteFile,
  deps: { clock: Clock; ticker: Ticker; sink: AcquisitionSink; logbook?: Logbook },
): Promise<Acquisition> {
  return openAcquisition(site, { log: silentLogger, logbook: noLogbook, random: () => 0.5, ...deps })
}

/**
 * Waits until every request to a device that answers is answered. Requests are counted when they are sent, and what follows
 * an answer is sent at once: so nothing is on its way when the counters agree. `silent`: devices that never answer.
 */
export async function quiet(acquisition: Acquisition, silent: readonly string[] = []): Promise<void> {
  const agree = (): boolean =>
    acquisition.devices.every(({ site, device }) => {
      const id = `${site}:${device}`
      const { requests = 0, answers = 0, timeouts = 0, cut = 0 } = acquisition.diagnosis(id).counters
      return silent.includes(id) || requests === answers + timeouts + cut
    })
  for (let agreed = 0; agreed < 2; ) {
    await new Promise<void>(resolve => setImmediate(resolve))
    agreed = agree() ? agreed + 1 : 0
  }
}
