import { cell, stride } from './columns.ts'
import type { Inhibit } from './inhibits.ts'
import { type Instance, nextDelay } from './instance.ts'
import type { EngineParts } from './parts.ts'
import type { Sources } from './sources.ts'
import { TimerQueue } from './timer-queue.ts'

export type Due =
  | { readonly kind: 'instance'; readonly instance: Instance }
  /** the value of a tag has been held for too long */
  | { readonly kind: 'gap'; readonly row: number }
  | { readonly kind: 'inhibit'; readonly device: string }
  | { readonly kind: 'self-inhibit'; readonly tag: string }

/** Silence is looked at on full seconds, so that many tags share one tick. */
const gridMs = 1_000
const onGrid = (time: number): number => Math.ceil(time / gridMs) * gridMs

/**
 * What falls due without any input. Made from the state alone; entries of the queue are never taken out, and whoever comes to one
 * looks where it really stands now. So a reading costs nothing here, although it moves the moment of silence.
 */
export class Schedule {
  readonly #parts: EngineParts
  readonly #sources: Sources
  readonly #queue = new TimerQueue<Due>()
  /** per row: when its gap is looked at next, NaN when never */
  #gapAt = new Float64Array(0)

  constructor(parts: EngineParts, sources: Sources) {
    this.#parts = parts
    this.#sources = sources
    this.rebuild()
  }

  rebuild(): void {
    const { instances, tags, inhibits, selfInhibits } = this.#parts
    this.#queue.clear()
    this.#gapAt.fill(Number.NaN)
    for (const instance of instances.values()) {
      instance.timerAt = null
      this.arm(instance)
    }
    for (let row = 0; row < tags.size; row++) this.armGap(row)
    for (const inhibit of inhibits.running) this.armInhibit(inhibit)
    for (const tag of selfInhibits.keys()) this.armSelfInhibit(tag)
  }

  /** When something falls due next; null: never. */
  next(): number | null {
    for (;;) {
      const timer = this.#queue.peek()
      if (!timer) return null
      const at = this.#stands(timer.what, timer.at)
      if (at === timer.at) return at
      this.#queue.pop()
      if (at !== null) this.#queue.push({ ...timer, at })
    }
  }

  /** Takes what `next` told of. */
  take(): Due | undefined {
    const due = this.#queue.pop()?.what
    if (due?.kind === 'instance') due.instance.timerAt = null
    if (due?.kind === 'gap') this.#gapAt[due.row] = Number.NaN
    return due
  }

  arm(instance: Instance): void {
    const due = this.#dueOf(instance)
    if (due === instance.timerAt) return
    instance.timerAt = due
    if (due !== null) this.#push(due, instance.id, { kind: 'instance', instance })
  }

  /** Watches over the value that is held of a tag. */
  armGap(row: number): void {
    if (row >= this.#gapAt.length) {
      const wider = new Float64Array(Math.max(1_024, row + 1, this.#gapAt.length * 2)).fill(Number.NaN)
      wider.set(this.#gapAt)
      this.#gapAt = wider
    }
    if (!Number.isNaN(this.#gapAt[row] ?? Number.NaN)) return
    const due = this.#gapDue(row)
    if (due === null) return
    this.#gapAt[row] = due
    this.#push(due, this.#parts.tags.tags[row] ?? '', { kind: 'gap', row })
  }

  armInhibit(inhibit: Inhibit): void {
    this.#push(inhibit.until, inhibit.device, { kind: 'inhibit', device: inhibit.device })
  }

  armSelfInhibit(tag: string): void {
    const { selfInhibits, maxInhibitMs, now } = this.#parts
    const due = (selfInhibits.get(tag) ?? Number.NaN) + maxInhibitMs
    // What has passed was dealt with when it did.
    if (due > now) this.#push(due, tag, { kind: 'self-inhibit', tag })
  }

  #push(at: number, key: string, what: Due): void {
    this.#queue.push({ at, key: `${what.kind} ${key}`, what })
  }

  /** Where a timer really stands now: its own time, a later one, or null when it has nothing left to do. */
  #stands(due: Due, at: number): number | null {
    switch (due.kind) {
      case 'instance':
        if (due.instance.timerAt !== at) return null
        due.instance.timerAt = this.#dueOf(due.instance)
        return due.instance.timerAt
      case 'gap': {
        if (this.#gapAt[due.row] !== at) return null
        const now = this.#gapDue(due.row)
        this.#gapAt[due.row] = now ?? Number.NaN
        return now
      }
      case 'inhibit':
        return this.#parts.inhibits.of(due.device)?.until === at ? at : null
      case 'self-inhibit': {
        const since = this.#parts.selfInhibits.get(due.tag)
        return since !== undefined && since + this.#parts.maxInhibitMs === at ? at : null
      }
    }
  }

  #dueOf(instance: Instance): number | null {
    const { rule, state } = instance
    const delay = nextDelay(state)
    const due = delay === null ? null : delay + rule.latenessMs
    if (rule.kind !== 'stale' || rule.source === 'edge' || state.e !== 'on') return due
    if (this.#parts.inhibits.of(instance.device)) return due
    const silence = this.#silenceDue(instance)
    return silence === null || (due !== null && due <= silence) ? due : silence
  }

  /** When the silence reaches the next level of a stale rule. */
  #silenceDue(instance: Instance): number | null {
    const { rule, state } = instance
    const since = this.#sources.silentSince(instance)
    let next: number | null = null
    for (const [index, level] of rule.levels.entries()) {
      if (state.levels[index]?.c !== 'N') continue
      const due = onGrid(since + level.afterMs)
      if (next === null || due < next) next = due
    }
    return next
  }

  /** When the newest value of a tag has been held for too long; null when there is nothing to hold. */
  #gapDue(row: number): number | null {
    const held = this.#sources
      .of(row)
      .some(
        ({ rule, state }) => rule.kind === 'limit' && state.e === 'on' && (state.h === 'ok' || state.h === 'uncertain'),
      )
    if (!held) return null
    const due = (this.#parts.tags.cells[row * stride + cell.received] ?? 0) + this.#sources.maxGap(row)
    return Number.isFinite(due) ? onGrid(due) : null
  }
}
