import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { loadProfile } from '@penstock/core/profile/load.ts'
import type { Profile } from '@penstock/core/profile/schema.ts'
import { Bytes, type ConfigSource, loadConfig } from '@penstock/core/runtime/config-file.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { nearest } from '@penstock/core/runtime/nearest.ts'
import { BrokerPart, Id, OneOf } from '@penstock/core/runtime/schema-parts.ts'
import { type Static, Type } from 'typebox'

const closed = { additionalProperties: false } as const

const Channel = Type.Object(
  {
    id: Id('name of the channel'),
    driver: OneOf(['modbus'], { description: 'driver' }),
    transport: OneOf(['tcp'], { description: 'how the wire is reached', default: 'tcp' }),
    host: Type.String({ minLength: 1, description: 'address of the device or gateway' }),
    port: Type.Integer({ minimum: 1, maximum: 65535, default: 502 }),
    timeoutMs: Type.Integer({ minimum: 10, maximum: 60_000, default: 1000, description: 'wait for an answer' }),
    connectTimeoutMs: Type.Integer({ minimum: 100, maximum: 60_000, default: 3000 }),
    gapMs: Type.Integer({ minimum: 0, maximum: 5000, default: 0, description: 'silence between two requests' }),
    maxInFlight: Type.Integer({ minimum: 1, maximum: 16, default: 1, description: 'requests on the wire at once' }),
  },
  { ...closed, description: 'one physical link' },
)
export type ChannelConfig = Static<typeof Channel>

const DeviceTag = Type.Object(
  {
    deadband: Type.Optional(Type.Union([Type.Number({ minimum: 0 }), Type.Null()])),
    heartbeatMs: Type.Optional(Type.Integer({ minimum: 1000 })),
    exclude: Type.Optional(Type.Boolean({ description: 'true: this tag of the profile is not read' })),
  },
  closed,
)

const Device = Type.Object(
  {
    site: Id('site that the device belongs to'),
    id: Id('name of the device, unique in its site'),
    channel: Type.String({ description: 'id of a channel of this file' }),
    unitId: Type.Integer({ minimum: 0, maximum: 255, default: 1, description: 'Modbus unit id' }),
    profile: Type.String({ description: 'name of a profile' }),
    area: Type.Union([Id('process area'), Type.Null()], {
      default: null,
      description: 'process area inside the site, or null',
    }),
    scan: Type.Record(Type.String(), Type.String(), { default: {}, description: 'tag → scan class' }),
    tags: Type.Record(Type.String(), DeviceTag, { default: {}, description: 'tag → what differs from the profile' }),
  },
  closed,
)
export type DeviceConfig = Static<typeof Device>

export const SiteFileSchema = Type.Object(
  {
    edge: Type.Object(
      {
        group: Id('Sparkplug group: county or department'),
        id: Id('name of this edge, unique in its group'),
        hardwareIdFile: Type.Union([Type.String(), Type.Null()], {
          default: null,
          description: 'file with an id of this box; null: /etc/machine-id, else one made in the data folder',
        }),
        clock: OneOf(['synchronised', 'none'], {
          default: 'synchronised',
          description: 'none: this box has neither NTP nor a battery clock; it takes its time from the gateway',
        }),
      },
      closed,
    ),
    host: Id('Sparkplug primary host id: gateway.hostId of the gateway file'),
    broker: BrokerPart,
    ledger: Type.Union([Type.String({ format: 'uuid' }), Type.Null()], {
      default: null,
      description: 'ledger id of the gateway; null: the first that confirms is kept',
    }),
    data: Type.String({ default: 'data', description: 'folder of the outbox, relative to this file' }),
    outbox: Type.Object(
      {
        maxBytes: Bytes({ default: 512 * 2 ** 20, description: 'the outbox takes no more than this' }),
        segmentBytes: Bytes({ default: 4 * 2 ** 20, description: 'size of one segment file' }),
        syncMs: Type.Integer({ minimum: 10, maximum: 10_000, default: 250, description: '1000 on an SD card' }),
        maxAgeDays: Type.Integer({ minimum: 0, default: 0, description: 'older readings are dropped; 0: never' }),
      },
      { ...closed, default: {} },
    ),
    scanClasses: Type.Record(Type.String(), Type.Integer({ minimum: 20 }), {
      default: { fast: 1000, normal: 5000, slow: 60_000 },
      description: 'name → ms between two reads',
    }),
    profiles: Type.Array(Type.String(), { default: [], description: 'folders with profiles of your own' }),
    channels: Type.Array(Channel, { minItems: 1 }),
    devices: Type.Array(Device, { minItems: 1 }),
    metrics: Type.Union(
      [
        Type.Object(
          {
            host: OneOf(['127.0.0.1', '::1'], { description: 'loopback only', default: '127.0.0.1' }),
            port: Type.Integer({ minimum: 0, maximum: 65535 }),
          },
          closed,
        ),
        Type.Null(),
      ],
      { default: null, description: 'Prometheus endpoint of the edge' },
    ),
  },
  { ...closed, title: 'Penstock site file: one edge with its channels and devices' },
)

/** A checked site file; all paths are absolute, `profileOf` holds every profile that a device names. */
export interface SiteFile extends Omit<Static<typeof SiteFileSchema>, 'profiles'> {
  readonly profileOf: ReadonlyMap<string, Profile>
}

const builtInProfiles = join(import.meta.dirname, '../../profiles')

/** Reads and checks a site file. @throws PenstockError `config-missing`, or `config-invalid` with all problems */
export function loadSiteFile(path: string): SiteFile {
  let profileOf: ReadonlyMap<string, Profile> = new Map()
  const { value, source } = loadConfig(path, SiteFileSchema, {
    check: (file, source) => {
      profileOf = findProfiles(file, source)
      checkDevices(file, source, profileOf)
    },
  })
  const { profiles: _, ...file } = value
  return {
    ...file,
    data: source.resolve(file.data),
    edge: {
      ...file.edge,
      hardwareIdFile: file.edge.hardwareIdFile === null ? null : source.resolve(file.edge.hardwareIdFile),
    },
    broker: {
      ...file.broker,
      passwordFile: file.broker.passwordFile === null ? null : source.resolve(file.broker.passwordFile),
      caFile: file.broker.caFile === null ? null : source.resolve(file.broker.caFile),
    },
    profileOf,
  }
}

type Raw = Static<typeof SiteFileSchema>

function findProfiles(file: Raw, source: ConfigSource): Map<string, Profile> {
  const paths = new Map<string, string>()
  for (const [index, folder] of [builtInProfiles, ...file.profiles.map(name => source.resolve(name))].entries()) {
    if (!existsSync(folder)) {
      source.fail(['profiles', index - 1], `the folder ${folder} does not exist; correct the path or remove it`)
      continue
    }
    for (const name of readdirSync(folder).filter(name => name.endsWith('.yaml'))) {
      paths.set(name.slice(0, -'.yaml'.length), join(folder, name))
    }
  }
  const found = new Map<string, Profile>()
  for (const [index, device] of file.devices.entries()) {
    if (typeof device.profile !== 'string' || found.has(device.profile)) continue
    const path = paths.get(device.profile)
    if (path === undefined) {
      const guess = nearest(device.profile, paths.keys())
      const help = guess ? `did you mean "${guess}"?` : `known: ${[...paths.keys()].join(', ')}`
      source.fail(['devices', index, 'profile'], `there is no profile "${device.profile}"; ${help}`)
      continue
    }
    try {
      found.set(device.profile, loadProfile(path))
    } catch (error) {
      if (!(error instanceof PenstockError)) throw error
      source.fail(['devices', index, 'profile'], `the profile "${device.profile}" has errors:\n${error.message}`)
    }
  }
  return found
}

function checkDevices(file: Raw, source: ConfigSource, profileOf: ReadonlyMap<string, Profile>): void {
  const channels = file.channels.map(channel => channel.id)
  for (const [index, id] of channels.entries()) {
    if (channels.indexOf(id) !== index)
      source.fail(['channels', index, 'id'], `the channel "${id}" stands twice; rename one`)
  }
  const seen = new Map<string, number>()
  const addresses = new Map<string, string>()
  for (const [index, device] of file.devices.entries()) {
    const key = `${device.site}/${device.id}`
    // capitals do not make another id (tck-id-case-sensitivity-sparkplug-ids)
    if (seen.has(key.toLowerCase()))
      source.fail(['devices', index, 'id'], `the device "${key}" stands twice; ids are unique in a site`)
    seen.set(key.toLowerCase(), index)
    if (!channels.includes(device.channel)) {
      const guess = nearest(device.channel, channels)
      source.fail(
        ['devices', index, 'channel'],
        `there is no channel "${device.channel}"; ${guess ? `did you mean "${guess}"?` : `known: ${channels.join(', ')}`}`,
      )
    }
    const address = `${device.channel} unit ${device.unitId}`
    const other = addresses.get(address)
    if (other)
      source.fail(
        ['devices', index, 'unitId'],
        `unit ${device.unitId} of channel "${device.channel}" is already "${other}"`,
      )
    addresses.set(address, key)
    const profile = profileOf.get(device.profile)
    if (!profile) continue
    const names = profile.tags.map(tag => tag.name)
    for (const part of ['scan', 'tags'] as const) {
      for (const name of Object.keys(device[part])) {
        if (names.includes(name)) continue
        const guess = nearest(name, names)
        const help = guess ? `did you mean "${guess}"?` : `known: ${names.join(', ')}`
        source.fail(
          ['devices', index, part, name],
          `the profile "${device.profile}" has no tag "${name}"; ${help}`,
          'key',
        )
      }
    }
    for (const tag of profile.tags) {
      const scan = device.scan[tag.name] ?? tag.scan
      if (file.scanClasses[scan] === undefined) {
        source.fail(
          ['devices', index],
          `tag "${tag.name}" wants scan class "${scan}", which "scanClasses" does not list; known: ${Object.keys(file.scanClasses).join(', ')}`,
        )
      }
    }
  }
}
