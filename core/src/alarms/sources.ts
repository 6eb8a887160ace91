import { cell, stride } from './columns.ts'
import type { CompiledRule } from './compile.ts'
import type { Instance } from './instance.ts'
import type { EngineParts } from './parts.ts'

interface Device {
  readonly rows: number[]
  /** alarms about the device as a whole */
  readonly instances: Instance[]
}

const noInstances: readonly Instance[] = []
const noRows: readonly number[] = []

/** Which alarms read which tag: by row of the tag table, and by device. */
export class Sources {
  readonly #parts: EngineParts
  /** per row: its alarms and those of its device, in the order of the rules */
  readonly #ofRow: Instance[][] = []
  readonly #deviceOfRow: string[] = []
  readonly #devices = new Map<string, Device>()

  constructor(parts: EngineParts) {
    this.#parts = parts
    for (let row = 0; row < parts.tags.size; row++) this.addRow(row)
    for (const instance of parts.instances.values()) this.add(instance)
    for (let row = 0; row < parts.tags.size; row++) this.sort(row)
  }

  /** Alarms that a reading of this tag concerns. */
  of(row: number): readonly Instance[] {
    return this.#ofRow[row] ?? noInstances
  }

  /** `site/device` of a row */
  deviceOf(row: number): string | null {
    return this.#deviceOfRow[row] ?? null
  }

  device(device: string): Readonly<Device> | undefined {
    return this.#devices.get(device)
  }

  /** Rows whose readings say that the source of an alarm is alive. */
  rowsOf(instance: Instance): readonly number[] {
    return instance.row >= 0 ? [instance.row] : (this.#devices.get(instance.source)?.rows ?? noRows)
  }

  addRow(row: number): void {
    const tag = this.#parts.tags.tags[row] ?? ''
    const id = tag.slice(0, tag.lastIndexOf('/'))
    const device = this.#device(id)
    device.rows.push(row)
    this.#deviceOfRow[row] = id
    this.#ofRow[row] = [...device.instances]
  }

  add(instance: Instance): void {
    if (instance.row >= 0) {
      this.#ofRow[instance.row]?.push(instance)
    } else if (instance.rule.source === 'device') {
      const device = this.#device(instance.source)
      device.instances.push(instance)
      for (const row of device.rows) this.#ofRow[row]?.push(instance)
    }
  }

  remove(instance: Instance): void {
    const drop = (list: Instance[] | undefined) => {
      const place = list?.indexOf(instance) ?? -1
      if (place >= 0) list?.splice(place, 1)
    }
    if (instance.row >= 0) drop(this.#ofRow[instance.row])
    const device = instance.device === null ? undefined : this.#devices.get(instance.device)
    drop(device?.instances)
    for (const row of device?.rows ?? []) drop(this.#ofRow[row])
  }

  /** The order of the rules is the order of the effects: it must not hang on when an alarm was made. */
  sort(row: number): void {
    const { rules } = this.#parts
    const rank = (rule: CompiledRule): number => {
      const place = rules.indexOf(rule)
      return place < 0 ? rules.length : place
    }
    this.#ofRow[row]?.sort((a, b) => rank(a.rule) - rank(b.rule))
  }

  /** A value is held for this long without a report, ms; infinite when no limit rule reads the tag. */
  maxGap(row: number): number {
    let gap = Number.POSITIVE_INFINITY
    for (const { rule } of this.of(row)) if (rule.kind === 'limit') gap = Math.min(gap, rule.maxGapMs)
    return gap
  }

  /** Since when the source of a stale rule has been silent; a pause of the engine does not count. */
  silentSince(instance: Instance): number {
    let newest = this.#parts.bootedAt
    const { cells } = this.#parts.tags
    for (const row of this.rowsOf(instance)) newest = Math.max(newest, cells[row * stride + cell.received] ?? 0)
    return newest
  }

  #device(id: string): Device {
    const known = this.#devices.get(id)
    if (known) return known
    const device: Device = { rows: [], instances: [] }
    this.#devices.set(id, device)
    return device
  }
}

/** What a rule calls the source that a tag belongs to. */
export const sourceOf = (rule: CompiledRule, tag: string): string =>
  rule.source === 'device' ? tag.slice(0, tag.lastIndexOf('/')) : tag
