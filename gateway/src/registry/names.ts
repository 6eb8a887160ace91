import type { RegistryFile } from '../config/registry-file.ts'

type Group = RegistryFile['groups'][number]
type Site = RegistryFile['sites'][number]
type Edge = RegistryFile['edges'][number]
type Device = RegistryFile['devices'][number]

/** A checked registry, made ready for look-ups. */
export class Names {
  readonly file: RegistryFile
  readonly #groups: ReadonlyMap<string, Group>
  readonly #sites: ReadonlyMap<string, Site>
  readonly #edges: ReadonlyMap<string, Edge>
  readonly #devices: ReadonlyMap<string, Device>

  constructor(file: RegistryFile) {
    this.file = file
    this.#groups = new Map(file.groups.map(group => [group.id, group]))
    this.#sites = new Map(file.sites.map(site => [site.id, site]))
    this.#edges = new Map(file.edges.map(edge => [`${edge.group}/${edge.id}`, edge]))
    this.#devices = new Map(file.devices.map(device => [`${device.site}/${device.id}`, device]))
  }

  group(id: string): Group | null {
    return this.#groups.get(id) ?? null
  }

  site(id: string): Site | null {
    return this.#sites.get(id) ?? null
  }

  edge(group: string, id: string): Edge | null {
    return this.#edges.get(`${group}/${id}`) ?? null
  }

  device(site: string, id: string): Device | null {
    return this.#devices.get(`${site}/${id}`) ?? null
  }
}
