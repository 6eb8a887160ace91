import { type ConfigSource, loadConfig } from '@penstock/core/runtime/config-file.ts'
import { nearest } from '@penstock/core/runtime/nearest.ts'
import { Id, OneOf, Text } from '@penstock/core/runtime/schema-parts.ts'
import { type Static, Type } from 'typebox'

const closed = { additionalProperties: false } as const

export const RegistryFileSchema = Type.Object(
  {
    groups: Type.Array(Type.Object({ id: Id('Sparkplug group'), name: Text('name on screens') }, closed), {
      minItems: 1,
    }),
    sites: Type.Array(
      Type.Object(
        {
          id: Id('site, unique in the installation'),
          group: Type.String({ description: 'id of a group of this file' }),
          name: Text('name on screens'),
          kind: OneOf(['water', 'chemical'], { description: 'what is watched there' }),
        },
        closed,
      ),
      { default: [] },
    ),
    edges: Type.Array(
      Type.Object(
        {
          group: Type.String({ description: 'id of a group of this file' }),
          id: Id('edge, unique in its group'),
          hardwareId: Type.Union([Type.String({ minLength: 1 }), Type.Null()], {
            default: null,
            description: 'box that may use this name; null: the first one seen is kept',
          }),
        },
        closed,
      ),
      { default: [] },
    ),
    devices: Type.Array(
      Type.Object(
        {
          site: Type.String({ description: 'id of a site of this file' }),
          id: Id('device, unique in its site'),
          name: Text('name on screens'),
          area: Type.Union([Id('process area'), Type.Null()], {
            default: null,
            description: 'process area inside the site',
          }),
        },
        closed,
      ),
      { default: [] },
    ),
  },
  { ...closed, title: 'Penstock registry: groups, sites, edges and device names' },
)
export type RegistryFile = Static<typeof RegistryFileSchema>

/** Reads and checks a registry. @throws PenstockError `config-missing`, or `config-invalid` with all problems */
export function loadRegistryFile(path: string): RegistryFile {
  return loadConfig(path, RegistryFileSchema, { check: checkRegistry }).value
}

function checkRegistry(value: RegistryFile, source: ConfigSource): void {
  unique(
    source,
    'groups',
    value.groups.map(group => group.id),
  )
  unique(
    source,
    'sites',
    value.sites.map(site => site.id),
  )
  unique(
    source,
    'edges',
    value.edges.map(edge => `${edge.group}/${edge.id}`),
  )
  unique(
    source,
    'devices',
    value.devices.map(device => `${device.site}/${device.id}`),
  )
  const groups = value.groups.map(group => group.id)
  refers(
    source,
    'sites',
    'group',
    value.sites.map(site => site.group),
    groups,
  )
  refers(
    source,
    'edges',
    'group',
    value.edges.map(edge => edge.group),
    groups,
  )
  refers(
    source,
    'devices',
    'site',
    value.devices.map(device => device.site),
    value.sites.map(site => site.id),
  )
}

function unique(source: ConfigSource, part: string, ids: readonly string[]): void {
  for (const [index, id] of ids.entries()) {
    if (ids.indexOf(id) !== index)
      source.fail([part, index, 'id'], `"${id}" stands twice in "${part}"; rename or remove one`)
  }
}

function refers(
  source: ConfigSource,
  part: string,
  key: string,
  names: readonly string[],
  known: readonly string[],
): void {
  for (const [index, name] of names.entries()) {
    if (known.includes(name)) continue
    const guess = nearest(name, known)
    source.fail(
      [part, index, key],
      `there is no ${key} "${name}"; ${guess ? `did you mean "${guess}"?` : `known: ${known.join(', ')}`}`,
    )
  }
}
