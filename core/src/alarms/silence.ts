import { cell, stride } from './columns.ts'
import { alarmId, type CompiledRule } from './compile.ts'
import type { Instance } from './instance.ts'
import type { LiveLane } from './live-lane.ts'
import type { EngineParts } from './parts.ts'
import type { Sources } from './sources.ts'

/** What happens when nothing comes: sessions that end, meters that fall silent, values that are held for too long. */
export class Silence {
  readonly #parts: EngineParts
  readonly #sources: Sources
  readonly #live: LiveLane
  readonly #create: (rule: CompiledRule, source: string, row: number) => Instance

  constructor(
    parts: EngineParts,
    sources: Sources,
    live: LiveLane,
    create: (rule: CompiledRule, source: string, row: number) => Instance,
  ) {
    this.#parts = parts
    this.#sources = sources
    this.#live = live
    this.#create = create
  }

  /** The session of the edge, or the connection to the device, of a tag has ended. */
  lost(row: number, reason: 'edge-offline' | 'device-offline'): void {
    const { tags, now } = this.#parts
    this.#live.holds(row)
    tags.setQuality(row, 'bad', reason)
    tags.cells[row * stride + cell.value] = Number.NaN
    this.#live.moveTime(row, now)
    this.#live.evaluate(row, false, true)
    this.#live.rest(row)
  }

  edge(edge: string, online: boolean): void {
    this.#parts.edges.set(edge, online)
    for (const rule of this.#parts.rules) {
      if (rule.source !== 'edge' || !rule.matches(edge)) continue
      const instance = this.#parts.instances.get(alarmId(rule.id, edge)) ?? this.#create(rule, edge, -1)
      if (instance.state.e === 'on') this.#live.feedAll(instance, online ? 'F' : 'T', this.#parts.now)
    }
  }

  /** A source may have been silent for long enough to reach one level after the other. */
  silent(instance: Instance): void {
    const { now, inhibits } = this.#parts
    const { rule, state } = instance
    if (state.e !== 'on' || inhibits.of(instance.device)) return
    const since = this.#sources.silentSince(instance)
    for (const { afterMs } of [...rule.levels].sort((a, b) => a.afterMs - b.afterMs)) {
      const t = since + afterMs
      if (t > now) break
      instance.reports = 0
      const zones = rule.levels.map(level => (level.afterMs <= afterMs ? ('T' as const) : ('F' as const)))
      this.#live.feed(instance, { type: 'sample', t, value: null, zones, raiseOnly: false }, t, null, true)
    }
    for (const row of this.#sources.rowsOf(instance)) this.#live.rest(row)
  }

  /** The value of a tag was held for as long as it may be: it is unknown from then on. */
  gap(row: number): void {
    const { tags } = this.#parts
    const at = (tags.cells[row * stride + cell.received] ?? 0) + this.#sources.maxGap(row)
    this.#live.holdsNothing()
    for (const instance of this.#sources.of(row)) {
      const { rule, state } = instance
      const holds = state.h === 'ok' || state.h === 'uncertain'
      if (rule.kind !== 'limit' || state.e !== 'on' || !holds) continue
      this.#live.feed(instance, { type: 'unknown', t: at, health: 'stale' }, at, tags.valueOf(row), false)
    }
    this.#live.rest(row)
  }
}
