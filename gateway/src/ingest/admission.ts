import type { EdgeRegistry } from '../registry/registry.ts'
import { isSupported, type NodeBirth } from './births.ts'
import type { Positions } from './positions.ts'
import type { EdgeKey } from './record.ts'

/**
 * Why nothing of an edge is taken into the inbox: nobody registered or adopted it · another box than the bound one uses its name ·
 * its hardware id is online as another edge · it speaks a version of the protocol that we do not · it names a site of another group.
 */
export type Refusal = 'unknown-edge' | 'other-hardware' | 'duplicate-identity' | 'unsupported-version' | 'foreign-site'

/** Who may deliver (delivery protocol, rule 14): registered or adopted, with its own hardware id, and only one box of that id. */
export class Admission {
  readonly #registry: EdgeRegistry
  readonly #positions: Positions
  /** hardware ids of admitted edges that are online, and which edge it is */
  readonly #alive = new Map<string, EdgeKey>()

  constructor(registry: EdgeRegistry, positions: Positions) {
    this.#registry = registry
    this.#positions = positions
  }

  isRegistered(group: string, id: string): boolean {
    return this.#registry.edge(group, id) !== null || this.#positions.edge(`${group}/${id}`)?.adopted === true
  }

  /** Judges a birth. An edge without a bound hardware id is bound to the first one. */
  judge(group: string, id: string, { hardwareId, delivery }: NodeBirth): Refusal | null {
    const edge = `${group}/${id}`
    if (!this.isRegistered(group, id)) return 'unknown-edge'
    if (delivery && !isSupported(delivery.version)) return 'unsupported-version'
    const bound = this.#registry.edge(group, id)?.hardwareId ?? this.#registry.boundHardware(edge)
    if (bound !== null && bound !== hardwareId) return 'other-hardware'
    if (hardwareId === null) return null
    const other = this.#alive.get(hardwareId)
    if (other !== undefined && other !== edge) return 'duplicate-identity'
    if (bound === null) this.#registry.bindHardware(edge, hardwareId)
    this.#alive.set(hardwareId, edge)
    return null
  }

  /** The edge is gone: its hardware id may appear elsewhere. */
  gone(edge: EdgeKey, hardwareId: string | null): void {
    if (hardwareId !== null && this.#alive.get(hardwareId) === edge) this.#alive.delete(hardwareId)
  }

  bind(edge: EdgeKey, hardwareId: string): void {
    this.#registry.bindHardware(edge, hardwareId)
  }

  /** Whether an edge of the group may say something about the site. */
  mayServe(group: string, site: string): boolean {
    const owner = this.#registry.groupOfSite(site)
    return owner === null || owner === group
  }
}
