import type { Distortion } from './devices/instrument.ts'
import type { WireFault } from './modbus/server.ts'
import type { FaultSpec } from './scenario-file.ts'

export interface ActiveFault extends FaultSpec {
  readonly id: string
}

/** What faults act on at one device. */
export interface Breakable {
  readonly unitId: number
  readonly distortion: Distortion
  /** its registers stand still */
  frozen: boolean
}

interface SiteFaults {
  whole: WireFault | null
  readonly units: Map<number, WireFault>
}

/**
 * The faults in force. A fault of a site acts on the line of all its devices, a fault of a device goes before it;
 * of several on one target the newest acts, and when it is cleared the one before it again.
 */
export class FaultBoard {
  readonly #sites: ReadonlyMap<string, ReadonlyMap<string, Breakable>>
  readonly #now: () => number
  readonly #resetSite: (site: string) => void
  readonly #active = new Map<string, ActiveFault & { since: number }>()
  readonly #wire = new Map<string, SiteFaults>()
  #next = 1

  constructor(
    sites: ReadonlyMap<string, ReadonlyMap<string, Breakable>>,
    now: () => number,
    resetSite: (site: string) => void,
  ) {
    this.#sites = sites
    this.#now = now
    this.#resetSite = resetSite
  }

  get active(): readonly ActiveFault[] {
    return [...this.#active.values()]
  }

  /** @throws RangeError when there is no such site or device */
  inject(spec: FaultSpec): string {
    const devices = this.#sites.get(spec.site)
    if (!devices) throw new RangeError(`there is no site "${spec.site}"`)
    if (spec.device !== null && !devices.has(spec.device)) {
      throw new RangeError(`there is no device "${spec.device}" on site "${spec.site}"`)
    }
    const id = `f${this.#next++}`
    this.#active.set(id, { ...spec, id, since: this.#now() })
    this.#apply()
    if (spec.kind === 'reset' && spec.device === null) this.#resetSite(spec.site)
    return id
  }

  /** false: there is no such fault (any more). */
  clear(id: string): boolean {
    const was = this.#active.delete(id)
    if (was) this.#apply()
    return was
  }

  /** What the Modbus server of a site asks; unit null: the port as a whole. */
  wire(site: string, unitId: number | null): WireFault | null {
    const faults = this.#wire.get(site)
    if (!faults) return null
    return (unitId === null ? null : faults.units.get(unitId)) ?? faults.whole
  }

  #apply(): void {
    this.#wire.clear()
    for (const devices of this.#sites.values()) {
      for (const device of devices.values()) {
        device.frozen = false
        device.distortion.nan = false
        device.distortion.driftPerMinute = 0
      }
    }
    for (const fault of this.#active.values()) {
      const devices = this.#sites.get(fault.site) ?? new Map<string, Breakable>()
      const targets = [...devices]
        .filter(([id]) => fault.device === null || id === fault.device)
        .map(([, device]) => device)
      const wire = wireFault(fault)
      if (wire) this.#break(fault.site, fault.device === null ? null : targets, wire)
      else for (const device of targets) distort(device, fault)
    }
  }

  #break(site: string, devices: readonly Breakable[] | null, wire: WireFault): void {
    const faults = this.#wire.get(site) ?? { whole: null, units: new Map() }
    this.#wire.set(site, faults)
    if (devices === null) faults.whole = wire
    else for (const { unitId } of devices) faults.units.set(unitId, wire)
  }
}

function wireFault({ kind, delayMs, code }: FaultSpec): WireFault | null {
  if (kind === 'frozen' || kind === 'nan' || kind === 'drift') return null
  if (kind === 'late') return { kind, delayMs }
  return kind === 'exception' ? { kind, code } : { kind }
}

function distort(device: Breakable, fault: FaultSpec & { since: number }): void {
  if (fault.kind === 'frozen') device.frozen = true
  else if (fault.kind === 'nan') device.distortion.nan = true
  else {
    device.distortion.driftPerMinute = fault.perMinute
    device.distortion.driftSince = fault.since
  }
}
