import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { LiveTable } from '../live/live-table.ts'
import type { Inbox } from './inbox.ts'
import type { Instant } from './instant.ts'
import type { EdgeEntry, EdgeKey } from './record.ts'

export interface DevicePresence {
  readonly device: string
  readonly site: string | null
  online: boolean
}

/**
 * Who is there: the edge and its devices, as the live table shows them and as the inbox knows them. Only what a registered edge
 * does enters the inbox; `announce` makes up for it when an edge is registered while it is online.
 */
export class Presence {
  readonly #edge: EdgeKey
  readonly #inbox: Pick<Inbox, 'append' | 'positions'>
  readonly #live: LiveTable
  readonly #devices = new Map<string, DevicePresence>()
  #online: boolean
  #since: number

  /** Continues what the inbox said before the gateway was started. */
  constructor(edge: EdgeKey, inbox: Pick<Inbox, 'append' | 'positions'>, live: LiveTable, now: number) {
    this.#edge = edge
    this.#inbox = inbox
    this.#live = live
    this.#since = now
    const folded = inbox.positions.edge(edge)
    this.#online = folded?.online ?? false
    for (const [device, { online }] of folded?.devices ?? [])
      this.#devices.set(device, { device, site: siteOf(device), online })
  }

  get online(): boolean {
    return this.#online
  }

  get since(): number {
    return this.#since
  }

  get devices(): ReadonlyMap<string, DevicePresence> {
    return this.#devices
  }

  isOnline(device: string): boolean {
    return this.#devices.get(device)?.online ?? false
  }

  edgeOnline(at: Instant): void {
    if (this.#online) return
    this.#online = true
    this.#since = at.now
  }

  deviceOnline(device: string, site: string | null): void {
    this.#devices.set(device, { device, site: site ?? siteOf(device), online: true })
  }

  /** False when it was not online. */
  deviceOffline(device: string, at: Instant, registered: boolean): boolean {
    const presence = this.#devices.get(device)
    if (!presence?.online) return false
    presence.online = false
    const tags = this.#live.offline(this.#edge, device, 'device-offline', at.now)
    if (registered) this.#append('device-offline', device, tags.length > 0 ? tags : this.#folded(device), at)
    return true
  }

  edgeOffline(at: Instant, registered: boolean): void {
    if (!this.#online) return
    this.#online = false
    this.#since = at.now
    for (const presence of this.#devices.values()) presence.online = false
    const shown = this.#live.offline(this.#edge, null, 'edge-offline', at.now)
    const known = this.#inbox.positions.edge(this.#edge)
    if (!registered || !known?.online) return
    const tags = new Set(shown)
    for (const { tags: folded } of known.devices.values()) for (const tag of folded) tags.add(tag)
    this.#append('offline', null, [...tags], at)
  }

  /** Tells the inbox what it does not know yet: that the edge, and those of its devices that were born, are online. */
  announce(born: Iterable<string>, at: Instant): void {
    if (!this.#online) return
    if (!this.#inbox.positions.edge(this.#edge)?.online) this.#append('online', null, [], at)
    for (const device of born) {
      if (!this.isOnline(device)) continue
      const tags = this.#live.tagsOf(this.#edge, device)
      const known = this.#inbox.positions.edge(this.#edge)?.devices.get(device)
      if (known?.online && sameTags(known.tags, tags)) continue
      this.#append('device-online', device, tags, at)
    }
  }

  #folded(device: string): readonly string[] {
    return this.#inbox.positions.edge(this.#edge)?.devices.get(device)?.tags ?? []
  }

  /** When the disk refuses for so long that even this is too much, the next birth makes up for it. */
  #append(event: EdgeEntry['event'], device: string | null, tags: readonly string[], at: Instant): void {
    try {
      this.#inbox.append({ kind: 'edge', edge: this.#edge, event, device, tags, at: at.now })
    } catch (error) {
      if (!(error instanceof PenstockError)) throw error
    }
  }
}

const siteOf = (device: string): string | null => (device.includes(':') ? (device.split(':')[0] ?? null) : null)

const sameTags = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((tag, index) => tag === b[index])
