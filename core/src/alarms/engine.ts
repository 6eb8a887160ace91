import type { Quality, Reading, Reason } from '../reading.ts'
import { inhibitTooLong } from './built-in.ts'
import { cell, numberAt, stride, TagColumns } from './columns.ts'
import { alarmId, type CompiledRule, compileRules, defaultMaxInhibitMs } from './compile.ts'
import { evaluate, numberOf } from './evaluate.ts'
import { type Inhibit, Inhibits } from './inhibits.ts'
import { type CommandAnswer, commandKey, type EngineCommand, type EngineInput, type Lane } from './input.ts'
import { type Instance, nextDelay, quietZone, type RecordInstance } from './instance.ts'
import type { Effect, JournalRecord, RefuseCode } from './journal-record.ts'
import { journalText } from './journal-text.ts'
import { initialState, isOpen } from './state.ts'
import { type AlarmEvent, migrate, type Step, step } from './step.ts'
import { TimerQueue } from './timer-queue.ts'

/** A pause of the input longer than this means that the engine did not run. */
export const downAfterMs = 60_000
/** A clock that goes back by more than this was set; less is jitter. */
const setBackMs = 60_000
/** Silence is looked at on full seconds, so that many tags share one tick. */
const gridMs = 1_000
const keptAnswers = 2_000

type Due =
  | { readonly kind: 'instance'; readonly instance: Instance }
  | { readonly kind: 'gap'; readonly row: number }
  | { readonly kind: 'inhibit'; readonly device: string }
  | { readonly kind: 'self-inhibit'; readonly tag: string }

/** What the engine is made of; `snapshot.ts` writes it to bytes and back. */
export interface EngineParts {
  now: number
  /** end of the last pause of the engine */
  bootedAt: number
  rulesHash: string
  maxInhibitMs: number
  rules: readonly CompiledRule[]
  readonly tags: TagColumns
  readonly instances: Map<string, Instance>
  /** edges seen, `group/edge` → online */
  readonly edges: Map<string, boolean>
  inhibits: Inhibits
  /** tags that say of themselves that they are in calibration, since when */
  readonly selfInhibits: Map<string, number>
  readonly answers: Map<string, { readonly command: string; readonly answer: CommandAnswer }>
}

export const emptyParts = (): EngineParts => ({
  now: 0,
  bootedAt: 0,
  rulesHash: '',
  maxInhibitMs: defaultMaxInhibitMs,
  rules: [],
  tags: new TagColumns(),
  instances: new Map(),
  edges: new Map(),
  inhibits: new Inhibits(),
  selfInhibits: new Map(),
  answers: new Map(),
})

/**
 * The alarm engine: state = fold of `apply` over the inputs, in their order. It reads no clock; time is what the inputs say.
 * `apply` returns the journal records that an input causes. The caller sees to it that a `tick` comes when `nextDue` says.
 */
export class AlarmEngine {
  readonly #parts: EngineParts
  readonly #timers = new TimerQueue<Due>()
  /** per tag row: its instances, in the order of the rules */
  readonly #ofRow: Instance[][] = []
  readonly #ofDevice = new Map<string, { rows: number[]; stale: Instance[] }>()
  /** when the silence of a tag is looked at next, NaN when never */
  #gapAt = new Float64Array(0)
  /** device of each row */
  readonly #deviceOf: string[] = []
  readonly #changed = new Set<Instance>()
  /** value that a tag had before the reading that is being applied */
  #held: { readonly row: number; readonly value: number | null } | null = null
  #position = -1
  #firstIndex = 0
  #out: JournalRecord[] = []

  constructor(parts: EngineParts = emptyParts()) {
    this.#parts = parts
    for (let row = 0; row < parts.tags.size; row++) this.#linkRow(row)
    for (const instance of parts.instances.values()) this.#link(instance)
    for (let row = 0; row < parts.tags.size; row++) {
      this.#ofRow[row]?.sort((a, b) => this.#rank(a.rule) - this.#rank(b.rule))
      this.#rest(row)
      this.#armGap(row)
    }
    for (const inhibit of parts.inhibits.running) this.#armInhibit(inhibit)
    for (const tag of parts.selfInhibits.keys()) this.#armSelfInhibit(tag)
  }

  get now(): number {
    return this.#parts.now
  }

  get rulesHash(): string {
    return this.#parts.rulesHash
  }

  get rules(): readonly CompiledRule[] {
    return this.#parts.rules
  }

  get parts(): Readonly<EngineParts> {
    return this.#parts
  }

  get inhibits(): readonly Inhibit[] {
    return this.#parts.inhibits.running
  }

  instance(id: string): Instance | undefined {
    return this.#parts.instances.get(id)
  }

  instances(): Iterable<Instance> {
    return this.#parts.instances.values()
  }

  /** Value, quality and health of the tag behind an instance. */
  tagOf(instance: Instance): { value: number | null; quality: Quality | null; reason: Reason | null; time: number } {
    const { tags } = this.#parts
    const { row } = instance
    return {
      value: tags.valueOf(row),
      quality: tags.qualityOf(row),
      reason: tags.reasonOf(row),
      time: tags.cells[row * stride + cell.time] ?? Number.NEGATIVE_INFINITY,
    }
  }

  /** Since when a stale source has been silent. */
  silentSince(instance: Instance): number {
    return this.#silentSince(instance)
  }

  /** What a command id came to; undefined when it is new (or older than the newest few thousand). */
  answerOf(commandId: string, command: EngineCommand): CommandAnswer | undefined {
    const known = this.#parts.answers.get(commandId)
    if (!known) return undefined
    return known.command === commandKey(command) ? known.answer : { ok: false, code: 'command_id_reused', alarm: null }
  }

  /** Whether any rule reads the tag: only then do its live copies and births matter here. */
  reads(tag: string): boolean {
    const row = this.#parts.tags.find(tag)
    return row !== undefined
      ? row >= 0
      : this.#parts.rules.some(rule => rule.source !== 'edge' && rule.matches(sourceOf(rule, tag)))
  }

  /** Instances that changed since the last call, also those that are gone from the list. */
  takeChanged(): Instance[] {
    const changed = [...this.#changed]
    this.#changed.clear()
    return changed
  }

  /** When the engine next has something to do without any input, by the gateway's clock; null: never. */
  nextDue(): number | null {
    for (;;) {
      const timer = this.#timers.peek()
      if (!timer) return null
      const at = this.#stands(timer.what, timer.at)
      if (at === timer.at) return at
      this.#timers.pop()
      if (at !== null) this.#push(at, timer.key, timer.what)
    }
  }

  /**
   * Applies one input; `position` is its place in the inbox and is written into the records it causes, `firstIndex` the number
   * of records that an earlier input of the same entry has caused.
   */
  apply(position: number, input: EngineInput, firstIndex = 0): readonly JournalRecord[] {
    this.#held = null
    this.#position = position
    this.#firstIndex = firstIndex
    this.#out = []
    this.#advance(input.at)
    switch (input.kind) {
      case 'readings':
        this.#readings(input.readings, input.lane, input.at, input.skewMs)
        break
      case 'lost':
        for (const tag of input.tags) this.#lost(tag, input.reason)
        break
      case 'edge':
        this.#edge(input.edge, input.online)
        break
      case 'known':
        for (const tag of input.tags) if (this.#parts.tags.find(tag) === undefined) this.#discover(tag)
        break
      case 'command':
        this.#command(input)
        break
      case 'rules':
        this.#configure(input)
        break
      case 'tick':
        break
    }
    return this.#out
  }

  /**
   * Evaluates rows of the tag table from columns: the way in for whoever has numbers, not readings (and for the benchmark).
   * `times` are source times, on lane `current`; returns how many were outside the quiet zone.
   */
  evaluateColumns(rows: Uint32Array, times: Float64Array, values: Float64Array, at: number): number {
    const { tags } = this.#parts
    const { cells } = tags
    let slow = 0
    this.#out = []
    this.#advance(at)
    for (let k = 0; k < rows.length; k++) {
      const row = rows[k] ?? 0
      const v = numberAt(values, k)
      const t = numberAt(times, k)
      const own = row * stride
      if (v > numberAt(cells, own) && v < numberAt(cells, own + cell.hi) && cells[own + cell.forked] === 0) {
        cells[own + cell.source] = t
        cells[own + cell.durable] = t
        if (t > numberAt(cells, own + cell.time)) cells[own + cell.time] = t < at ? t : at
        cells[own + cell.received] = at
        cells[own + cell.value] = v
      } else {
        slow += 1
        this.#slow(row, { quality: 'good', reason: null, sourceTimestamp: t }, v, 'current', at, 0)
      }
    }
    return slow
  }

  // ── readings ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #readings(readings: readonly Reading[], lane: Lane, at: number, skewMs: number): void {
    const { tags } = this.#parts
    for (const reading of readings) {
      const row = tags.find(reading.tag) ?? this.#discover(reading.tag)
      if (row < 0) continue
      const { cells } = tags
      const own = row * stride
      const raw = reading.value
      const value = typeof raw === 'number' ? raw : (numberOf(raw) ?? Number.NaN)
      const inside =
        reading.quality === 'good' &&
        value > numberAt(cells, own) &&
        value < numberAt(cells, own + cell.hi) &&
        lane !== 'backlog'
      if (inside && (lane === 'copy' || cells[own + cell.forked] === 0)) {
        const t = reading.sourceTimestamp
        const event = Math.min(t + skewMs, at)
        cells[own + cell.source] = t
        if (lane === 'current') cells[own + cell.durable] = t
        if (event > numberAt(cells, own + cell.time)) cells[own + cell.time] = event
        cells[own + cell.received] = at
        cells[own + cell.value] = value
      } else {
        this.#slow(row, reading, value, lane, at, skewMs)
      }
    }
  }

  #slow(
    row: number,
    reading: Pick<Reading, 'quality' | 'reason' | 'sourceTimestamp'>,
    number: number,
    lane: Lane,
    at: number,
    skewMs: number,
  ): void {
    const { tags } = this.#parts
    const stamp = reading.sourceTimestamp
    const value = Number.isNaN(number) ? null : number
    const same =
      stamp === tags.cells[row * stride + cell.source] &&
      value === tags.valueOf(row) &&
      reading.quality === tags.qualityOf(row) &&
      reading.reason === tags.reasonOf(row)
    if (reading.quality !== 'bad')
      tags.cells[row * stride + cell.received] = Math.max(tags.cells[row * stride + cell.received] ?? 0, at)
    if (lane !== 'copy') {
      const last = tags.cells[row * stride + cell.durable] ?? 0
      // Older than what the durable lane has had, and the source's clock did not step back: a repeat from a restored disk.
      if (lane === 'backlog' && stamp < last && (tags.cells[row * stride + cell.source] ?? 0) >= last) return
      tags.cells[row * stride + cell.durable] = stamp
      if (lane === 'backlog' || tags.cells[row * stride + cell.forked] === 1)
        this.#record(row, value, reading, last, at, skewMs)
    }
    const live = lane === 'backlog' ? stamp > (tags.cells[row * stride + cell.source] ?? 0) : !same
    if (live) {
      const held = tags.valueOf(row)
      this.#held = { row, value: held }
      tags.cells[row * stride + cell.source] = stamp
      tags.cells[row * stride + cell.value] = number
      tags.setQuality(row, reading.quality, reading.reason)
      tags.cells[row * stride + cell.time] = Math.max(
        tags.cells[row * stride + cell.time] ?? 0,
        Math.min(stamp + skewMs, at),
      )
      this.#selfInhibit(row, reading.quality, reading.reason)
      this.#evaluateRow(row, lane !== 'copy', { held })
    } else if (lane !== 'backlog') {
      this.#reported(row, lane !== 'copy')
    }
    if (
      lane !== 'copy' &&
      tags.cells[row * stride + cell.forked] === 1 &&
      stamp >= (tags.cells[row * stride + cell.source] ?? 0)
    )
      this.#caughtUp(row)
    this.#rest(row)
    this.#armGap(row)
  }

  /** Evaluates the newest reading of a tag for all its alarms. `durable`: it came in the durable lane. */
  #evaluateRow(row: number, durable: boolean, options: { held?: number | null; isReport?: boolean } = {}): void {
    const { tags } = this.#parts
    const { held = tags.valueOf(row), isReport = true } = options
    const at = tags.cells[row * stride + cell.time] ?? 0
    const quality = tags.qualityOf(row)
    if (quality === null) return
    const reason = tags.reasonOf(row)
    const value = tags.valueOf(row)
    const blind = this.#isInhibited(row)
    for (const instance of this.#ofRow[row] ?? []) {
      if (instance.state.e !== 'on' || instance.rule.kind === 'inhibit') continue
      if (instance.rule.kind === 'stale') {
        if (quality !== 'bad' && isReport) this.#report(instance, at)
        continue
      }
      const event: AlarmEvent = blind
        ? { type: 'unknown', t: at, health: 'inhibited' }
        : evaluate(instance.rule, value, quality, reason, at)
      this.#feed(instance, event, at, value, durable, held)
    }
  }

  /** A reading that repeats the newest one says nothing new, but it says that the source is alive. */
  #reported(row: number, durable: boolean): void {
    const { tags } = this.#parts
    if (tags.qualityOf(row) === 'bad') return
    for (const instance of this.#ofRow[row] ?? []) {
      if (instance.rule.kind === 'stale' && instance.state.e === 'on') this.#report(instance, this.#parts.now)
    }
    const blind = (this.#ofRow[row] ?? []).some(({ state }) => state.h === 'stale' || state.h === 'init')
    if (!blind) return
    tags.cells[row * stride + cell.time] = Math.max(tags.cells[row * stride + cell.time] ?? 0, this.#parts.now)
    this.#evaluateRow(row, durable)
  }

  /** Delays that ended before the event, the event, delays that end with it. */
  #feed(
    instance: Instance,
    event: AlarmEvent,
    at: number,
    value: number | null,
    durable: boolean,
    held: number | null = value,
  ): void {
    this.#commit(instance, { type: 'timers', upTo: at, strict: true, value: held }, durable)
    this.#commit(instance, event, durable)
    this.#commit(instance, { type: 'timers', upTo: at, strict: false, value }, durable)
  }

  /** One step of the live instance, with all that follows from it. */
  #commit(instance: Instance, event: AlarmEvent, durable: boolean): Step {
    if (event.type === 'timers' && nextDelay(instance.state) === null) return noStep(instance)
    const result = step(instance.state, event, instance.rule)
    this.#take(instance, result, durable)
    return result
  }

  #take(instance: Instance, result: Step, durable: boolean): void {
    const before = instance.state
    if (result.state === before && result.effects.length === 0) return
    const { row } = instance
    // What did not come in the durable lane makes the live instance go its own way: keep a copy for the durable readings.
    if (!durable && row >= 0 && result.state.levels !== before.levels && this.#recordable(instance)) this.#fork(row)
    instance.state = result.state
    const { record } = instance
    for (const effect of result.effects) {
      if (record && effect.kind === 'RAISE')
        record.liveOccurrences.push({ from: effect.at, to: Number.POSITIVE_INFINITY })
      if (record && effect.kind === 'RTN') {
        const last = record.liveOccurrences.at(-1)
        if (last) last.to = effect.at
      }
      // Nothing about this tag may happen before what has just happened.
      const moves = effect.cause === 'C3' || effect.cause === 'C10'
      if (moves && row >= 0)
        this.#parts.tags.cells[row * stride + cell.time] = Math.max(
          this.#parts.tags.cells[row * stride + cell.time] ?? 0,
          effect.at,
        )
      this.#write(instance, effect, 'live')
    }
    this.#changed.add(instance)
    this.#arm(instance)
    if (instance.state.e === 'retired' && !isOpen(instance.state)) this.#remove(instance)
  }

  /** Recomputes the quiet zone of a tag. */
  #rest(row: number): void {
    const { tags } = this.#parts
    const blind = this.#isInhibited(row) || this.#parts.selfInhibits.has(tags.tags[row] ?? '')
    const zone = blind || tags.qualityOf(row) !== 'good' ? null : quietZone(this.#ofRow[row] ?? [])
    tags.cells[row * stride + cell.lo] = zone ? zone.lo : Number.POSITIVE_INFINITY
    tags.cells[row * stride + cell.hi] = zone ? zone.hi : Number.NEGATIVE_INFINITY
  }

  // ── the record lane: readings that come late, after an outage ─────────────────────────────────────────────────────

  #recordable(instance: Instance): boolean {
    return instance.rule.kind === 'limit' || instance.rule.kind === 'quality'
  }

  #fork(row: number): void {
    const { tags } = this.#parts
    if (tags.cells[row * stride + cell.forked] === 1) return
    tags.cells[row * stride + cell.forked] = 1
    for (const instance of this.#ofRow[row] ?? []) {
      if (!this.#recordable(instance)) continue
      const { state } = instance
      const since = state.v >= 0 ? state.activeSince : null
      instance.record = {
        state,
        time: null,
        value: this.#held?.row === row ? this.#held.value : tags.valueOf(row),
        open: since === null ? null : { since, level: state.peak, value: state.value },
        liveOccurrences: since === null ? [] : [{ from: since, to: Number.POSITIVE_INFINITY }],
      }
    }
  }

  #record(
    row: number,
    value: number | null,
    reading: Pick<Reading, 'quality' | 'reason' | 'sourceTimestamp'>,
    last: number,
    at: number,
    skewMs: number,
  ): void {
    const stamp = Math.min(reading.sourceTimestamp + skewMs, at)
    const device = this.#deviceOf[row] ?? null
    this.#fork(row)
    for (const instance of this.#ofRow[row] ?? []) {
      const { record, rule } = instance
      if (!record) continue
      const before = record.time ?? last + skewMs
      const t = Math.max(stamp, before)
      record.time = t
      const blind =
        this.#parts.inhibits.covers(device, t) || (reading.quality === 'uncertain' && reading.reason === 'inhibit')
      const event: AlarmEvent = blind
        ? { type: 'unknown', t, health: 'inhibited' }
        : evaluate(rule, value, reading.quality, reading.reason, t)
      const held = record.value
      record.value = value
      const gapAt = before + rule.maxGapMs
      const gap: AlarmEvent[] =
        rule.kind === 'limit' && t > gapAt
          ? [
              { type: 'timers', upTo: gapAt, strict: true, value: held },
              { type: 'unknown', t: gapAt, health: 'stale' },
            ]
          : []
      const events: AlarmEvent[] = [
        ...gap,
        { type: 'timers', upTo: t, strict: true, value: held },
        event,
        { type: 'timers', upTo: t, strict: false, value },
      ]
      for (const each of events) {
        const result = step(record.state, each, rule)
        record.state = result.state
        for (const effect of result.effects) this.#recorded(instance, record, effect)
      }
    }
  }

  #recorded(instance: Instance, record: RecordInstance, effect: Effect): void {
    const { open } = record
    if (effect.kind === 'RAISE') {
      record.open = { since: effect.at, level: effect.level, value: effect.value }
    } else if (effect.kind === 'LEVEL' && open) {
      const worse = (instance.rule.levels[effect.level]?.rank ?? 0) > (instance.rule.levels[open.level]?.rank ?? 0)
      if (worse) record.open = { ...open, level: effect.level, value: effect.value }
    } else if (effect.kind === 'RTN' && open) {
      record.open = null
      const seen = record.liveOccurrences.some(live => live.from <= effect.at && live.to >= open.since)
      if (seen) return
      const result = step(
        instance.state,
        { type: 'late', level: open.level, value: open.value, activeSince: open.since, returnedAt: effect.at },
        instance.rule,
      )
      instance.state = result.state
      for (const each of result.effects) this.#write(instance, each, 'record')
      this.#changed.add(instance)
    }
  }

  /** The durable readings have reached the newest live one: both instances must agree. */
  #caughtUp(row: number): void {
    const { tags } = this.#parts
    tags.cells[row * stride + cell.forked] = 0
    for (const instance of this.#ofRow[row] ?? []) {
      const { record } = instance
      if (!record) continue
      instance.record = null
      this.#commit(
        instance,
        {
          type: 'adopt',
          t: tags.cells[row * stride + cell.time] ?? 0,
          levels: record.state.levels,
          activeSince: record.open?.since ?? null,
          value: record.open ? record.open.value : tags.valueOf(row),
        },
        true,
      )
    }
  }

  // ── silence, sessions, inhibits ───────────────────────────────────────────────────────────────────────────────────

  #lost(tag: string, reason: 'edge-offline' | 'device-offline'): void {
    const { tags } = this.#parts
    const row = tags.find(tag) ?? this.#discover(tag)
    if (row < 0) return
    this.#held = { row, value: tags.valueOf(row) }
    tags.setQuality(row, 'bad', reason)
    tags.cells[row * stride + cell.value] = Number.NaN
    tags.cells[row * stride + cell.time] = Math.max(tags.cells[row * stride + cell.time] ?? 0, this.#parts.now)
    this.#evaluateRow(row, false)
    this.#rest(row)
  }

  #edge(edge: string, online: boolean): void {
    this.#parts.edges.set(edge, online)
    for (const rule of this.#parts.rules) {
      if (rule.source !== 'edge' || !rule.matches(edge)) continue
      const instance = this.#parts.instances.get(alarmId(rule.id, edge)) ?? this.#create(rule, edge, -1)
      if (instance.state.e === 'on') this.#edgeState(instance, online)
    }
  }

  #edgeState(instance: Instance, online: boolean): void {
    const t = this.#parts.now
    const zones = instance.rule.levels.map(() => (online ? ('F' as const) : ('T' as const)))
    this.#feed(instance, { type: 'sample', t, value: null, zones, raiseOnly: false }, t, null, true)
  }

  /** A report came in from a source that a stale rule watches. */
  #report(instance: Instance, t: number): void {
    if (instance.rule.source === 'edge') return
    const active = instance.state.levels.some(level => level.c !== 'N')
    if (!active && instance.state.h === 'ok') return
    if (instance.reportedAt === this.#parts.now) return
    instance.reportedAt = this.#parts.now
    instance.reports = active ? instance.reports + 1 : 0
    if (active && instance.reports < instance.rule.offAfterGood) return
    const at = Math.max(t, instance.state.activeSince ?? t)
    const zones = instance.rule.levels.map(() => 'F' as const)
    this.#feed(instance, { type: 'sample', t: at, value: null, zones, raiseOnly: false }, at, null, true)
    this.#arm(instance)
  }

  #silentSince(instance: Instance): number {
    const { tags, bootedAt } = this.#parts
    const rows = instance.row >= 0 ? [instance.row] : (this.#ofDevice.get(instance.source)?.rows ?? [])
    let newest = bootedAt
    for (const row of rows) newest = Math.max(newest, tags.cells[row * stride + cell.received] ?? 0)
    return newest
  }

  /** The next level of a stale rule that its silence has not reached yet, as a time. */
  #silenceDue(instance: Instance): number | null {
    const since = this.#silentSince(instance)
    let next: number | null = null
    for (const [index, level] of instance.rule.levels.entries()) {
      if (instance.state.levels[index]?.c !== 'N') continue
      const due = since + level.afterMs
      if (next === null || due < next) next = due
    }
    return next
  }

  #silent(instance: Instance): void {
    const { now } = this.#parts
    if (this.#parts.inhibits.of(instance.device)) return
    const since = this.#silentSince(instance)
    for (const { afterMs } of [...instance.rule.levels].sort((a, b) => a.afterMs - b.afterMs)) {
      const t = since + afterMs
      if (t > now) break
      instance.reports = 0
      const zones = instance.rule.levels.map(level => (level.afterMs <= afterMs ? ('T' as const) : ('F' as const)))
      this.#feed(instance, { type: 'sample', t, value: null, zones, raiseOnly: false }, t, null, true)
    }
    const rows = instance.row >= 0 ? [instance.row] : (this.#ofDevice.get(instance.source)?.rows ?? [])
    for (const row of rows) this.#rest(row)
  }

  #gap(row: number): void {
    const { tags } = this.#parts
    const at = (tags.cells[row * stride + cell.received] ?? 0) + this.#maxGap(row)
    for (const instance of this.#ofRow[row] ?? []) {
      if (instance.rule.kind !== 'limit' || instance.state.e !== 'on') continue
      if (instance.state.h !== 'ok' && instance.state.h !== 'uncertain') continue
      this.#feed(instance, { type: 'unknown', t: at, health: 'stale' }, at, tags.valueOf(row), false)
    }
    this.#rest(row)
  }

  #isInhibited(row: number): boolean {
    if (this.#parts.inhibits.of(this.#deviceOf[row] ?? null)) return true
    const since = this.#parts.selfInhibits.get(this.#parts.tags.tags[row] ?? '')
    return since !== undefined && this.#parts.now < since + this.#parts.maxInhibitMs
  }

  /** A device that says "calibration" itself is believed, but not for ever. */
  #selfInhibit(row: number, quality: Quality, reason: Reason | null): void {
    const { tags, selfInhibits, now } = this.#parts
    const tag = tags.tags[row] ?? ''
    const says = quality === 'uncertain' && reason === 'inhibit'
    const since = selfInhibits.get(tag)
    if (says === (since !== undefined)) return
    if (!(this.#ofRow[row] ?? []).some(instance => instance.rule.kind === 'limit')) return
    if (says) {
      selfInhibits.set(tag, now)
      this.#armSelfInhibit(tag)
      this.#note('INHIBIT', tag, 'device', { reason: 'inhibit' })
      return
    }
    selfInhibits.delete(tag)
    this.#note('END_INHIBIT', tag, 'device', { reason: 'inhibit', activeSince: since ?? null })
    const long = this.#parts.instances.get(alarmId(inhibitTooLong.id, tag))
    if (long) this.#feed(long, { type: 'sample', t: now, value: null, zones: ['F'], raiseOnly: false }, now, null, true)
  }

  #selfInhibitTooLong(tag: string): void {
    const { now, tags } = this.#parts
    const row = tags.find(tag) ?? -1
    if (row < 0) return
    const id = alarmId(inhibitTooLong.id, tag)
    const instance = this.#parts.instances.get(id) ?? this.#create(inhibitTooLong, tag, row)
    this.#feed(instance, { type: 'sample', t: now, value: null, zones: ['T'], raiseOnly: false }, now, null, true)
    // From now on its values count again as far as they raise.
    this.#evaluateHeld(row)
  }

  /** Evaluates the value that is held now that it counts again; one from before a pause of the engine is not trusted. */
  #evaluateHeld(row: number): void {
    const { tags, now, bootedAt } = this.#parts
    tags.cells[row * stride + cell.time] = Math.max(tags.cells[row * stride + cell.time] ?? 0, now)
    const received = tags.cells[row * stride + cell.received] ?? 0
    const held = received >= bootedAt && received + this.#maxGap(row) > now
    if (held || tags.qualityOf(row) === 'bad') this.#evaluateRow(row, true, { isReport: false })
    else
      for (const instance of this.#ofRow[row] ?? [])
        this.#commit(instance, { type: 'unknown', t: now, health: 'init' }, true)
    this.#rest(row)
  }

  #endInhibit(device: string, actor: string, commandId: string | null): void {
    const { now, inhibits } = this.#parts
    const inhibit = inhibits.of(device)
    if (!inhibit) return
    inhibits.end(device, now)
    this.#note('END_INHIBIT', device, actor, { reason: inhibit.reason, activeSince: inhibit.from, commandId })
    const linked = this.#ofDevice.get(device)
    for (const row of linked?.rows ?? []) this.#evaluateHeld(row)
    for (const instance of linked?.stale ?? []) this.#arm(instance)
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #advance(at: number): void {
    const parts = this.#parts
    const last = parts.now
    if (last - at > setBackMs) {
      this.#setBack(at)
    } else if (at > last) {
      parts.now = at
      if (last === 0) parts.bootedAt = at
      else if (at - last > downAfterMs) this.#down(last, at)
    }
    for (;;) {
      const due = this.nextDue()
      if (due === null || due > parts.now) return
      const timer = this.#timers.pop()
      if (timer) this.#fire(timer.what, parts.now)
    }
  }

  #fire(due: Due, now: number): void {
    switch (due.kind) {
      case 'instance': {
        const { instance } = due
        instance.timerAt = null
        const held = instance.row >= 0 ? this.#parts.tags.valueOf(instance.row) : null
        this.#commit(
          instance,
          { type: 'timers', upTo: now - instance.rule.latenessMs, strict: false, value: held },
          true,
        )
        if (instance.rule.kind === 'stale' && instance.rule.source !== 'edge') this.#silent(instance)
        this.#arm(instance)
        if (instance.row >= 0) this.#rest(instance.row)
        return
      }
      case 'gap':
        this.#gapAt[due.row] = Number.NaN
        this.#gap(due.row)
        this.#armGap(due.row, now)
        return
      case 'inhibit':
        this.#endInhibit(due.device, 'system', null)
        return
      case 'self-inhibit':
        this.#selfInhibitTooLong(due.tag)
    }
  }

  /** Where a timer really stands now: its own time, a later one, or null when it has nothing left to do. */
  #stands(due: Due, at: number): number | null {
    switch (due.kind) {
      case 'instance': {
        const { instance } = due
        if (instance.timerAt !== at) return null
        const now = this.#dueOf(instance)
        instance.timerAt = now
        return now
      }
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
    const delay = nextDelay(instance.state)
    let due = delay === null ? null : delay + instance.rule.latenessMs
    if (instance.rule.kind === 'stale' && instance.rule.source !== 'edge' && instance.state.e === 'on') {
      if (this.#parts.inhibits.of(instance.device)) return due
      const silence = this.#silenceDue(instance)
      const onGrid = silence === null ? null : Math.ceil(silence / gridMs) * gridMs
      if (onGrid !== null && (due === null || onGrid < due)) due = onGrid
    }
    return due
  }

  #arm(instance: Instance): void {
    const due = this.#dueOf(instance)
    if (due === instance.timerAt) return
    instance.timerAt = due
    if (due !== null) this.#push(due, instance.id, { kind: 'instance', instance })
  }

  #maxGap(row: number): number {
    let gap = Number.POSITIVE_INFINITY
    for (const { rule } of this.#ofRow[row] ?? []) if (rule.kind === 'limit') gap = Math.min(gap, rule.maxGapMs)
    return gap
  }

  /** When the newest value of a tag has been held for too long; null when there is nothing to hold. */
  #gapDue(row: number): number | null {
    const held = (this.#ofRow[row] ?? []).some(
      ({ rule, state }) => rule.kind === 'limit' && state.e === 'on' && (state.h === 'ok' || state.h === 'uncertain'),
    )
    if (!held) return null
    const due = (this.#parts.tags.cells[row * stride + cell.received] ?? 0) + this.#maxGap(row)
    return Number.isFinite(due) ? Math.ceil(due / gridMs) * gridMs : null
  }

  #armGap(row: number, notBefore = Number.NEGATIVE_INFINITY): void {
    if (!Number.isNaN(this.#gapAt[row] ?? Number.NaN)) return
    const due = this.#gapDue(row)
    if (due === null || due <= notBefore) return
    this.#gapAt[row] = due
    this.#push(due, this.#parts.tags.tags[row] ?? '', { kind: 'gap', row })
  }

  #armInhibit(inhibit: Inhibit): void {
    this.#push(inhibit.until, inhibit.device, { kind: 'inhibit', device: inhibit.device })
  }

  #armSelfInhibit(tag: string): void {
    const since = this.#parts.selfInhibits.get(tag)
    const due = (since ?? Number.NaN) + this.#parts.maxInhibitMs
    // What has passed was dealt with when it did.
    if (due > this.#parts.now) this.#push(due, tag, { kind: 'self-inhibit', tag })
  }

  #push(at: number, key: string, what: Due): void {
    this.#timers.push({ at, key: `${what.kind} ${key}`, what })
  }

  /** The engine did not run: nothing is cleared or acknowledged by that, but everything has to be verified anew. */
  #down(from: number, to: number): void {
    const { tags } = this.#parts
    this.#parts.bootedAt = to
    this.#note('DOWN', null, null, { activeSince: from })
    for (const instance of this.#parts.instances.values()) {
      if (instance.rule.kind === 'inhibit' || instance.state.e !== 'on') continue
      this.#commit(instance, { type: 'unknown', t: from, health: 'init' }, false)
    }
    for (let row = 0; row < tags.size; row++) this.#rest(row)
    // An edge that does not come back after the pause has gone silent: its alarm waits from now on.
    for (const edge of [...this.#parts.edges.keys()].sort()) this.#edge(edge, false)
  }

  /** The gateway's clock was set back: what waits goes on waiting for as long as was left. */
  #setBack(at: number): void {
    const parts = this.#parts
    const { tags } = parts
    const by = parts.now - at
    parts.now = at
    parts.bootedAt = Math.min(parts.bootedAt, at)
    this.#note('CLOCK', null, null, { activeSince: at + by })
    for (let row = 0; row < tags.size; row++) {
      tags.cells[row * stride + cell.time] = Math.min(tags.cells[row * stride + cell.time] ?? 0, at)
      tags.cells[row * stride + cell.received] = Math.min(tags.cells[row * stride + cell.received] ?? 0, at)
    }
    for (const inhibit of parts.inhibits.running) {
      parts.inhibits.start({ ...inhibit, from: inhibit.from - by, until: inhibit.until - by })
    }
    for (const [tag, since] of parts.selfInhibits) parts.selfInhibits.set(tag, since - by)
    this.#timers.clear()
    this.#gapAt.fill(Number.NaN)
    for (const instance of parts.instances.values()) {
      const { state } = instance
      const levels = state.levels.map(level => ({
        ...level,
        due: level.due === null ? null : level.due - by,
        since: Math.min(level.since, at),
      }))
      const activeSince = state.activeSince === null ? null : Math.min(state.activeSince, at)
      if (state.v >= 0 || nextDelay(state) !== null) instance.state = { ...state, levels, activeSince }
      instance.timerAt = null
      this.#arm(instance)
    }
    for (let row = 0; row < tags.size; row++) this.#armGap(row)
    for (const inhibit of parts.inhibits.running) this.#armInhibit(inhibit)
    for (const tag of parts.selfInhibits.keys()) this.#armSelfInhibit(tag)
  }

  // ── rules and sources ─────────────────────────────────────────────────────────────────────────────────────────────

  /** A tag never seen: one that a rule reads gets its alarms at once. */
  #discover(tag: string): number {
    const { tags, rules } = this.#parts
    if (!rules.some(rule => rule.source !== 'edge' && rule.matches(sourceOf(rule, tag)))) {
      tags.ignore(tag)
      return -1
    }
    const row = tags.add(tag)
    this.#linkRow(row)
    this.#populate(row)
    return row
  }

  /** Makes the alarms that the rules want for a tag and its device. */
  #populate(row: number): boolean {
    let news = false
    const tag = this.#parts.tags.tags[row] ?? ''
    for (const rule of this.#parts.rules) {
      if (rule.source === 'edge' || rule.at === 'edge') continue
      const source = sourceOf(rule, tag)
      if (!rule.matches(source)) continue
      const existing = this.#parts.instances.get(alarmId(rule.id, source))
      if (!existing) this.#create(rule, source, rule.source === 'tag' ? row : -1)
      else if (existing.state.e === 'retired') this.#commit(existing, { type: 'enable' }, true)
      else continue
      news = true
    }
    this.#ofRow[row]?.sort((a, b) => this.#rank(a.rule) - this.#rank(b.rule))
    return news
  }

  #create(rule: CompiledRule, source: string, row: number): Instance {
    const instance: Instance = {
      id: alarmId(rule.id, source),
      source,
      row,
      device:
        rule.source === 'edge' ? null : rule.source === 'device' ? source : source.slice(0, source.lastIndexOf('/')),
      rule,
      state: initialState(rule.levels.length),
      record: null,
      timerAt: null,
      reports: 0,
      reportedAt: 0,
    }
    this.#parts.instances.set(instance.id, instance)
    this.#link(instance)
    return instance
  }

  #rank(rule: CompiledRule): number {
    const rank = this.#parts.rules.indexOf(rule)
    return rank < 0 ? Number.MAX_SAFE_INTEGER : rank
  }

  #linkRow(row: number): void {
    const tag = this.#parts.tags.tags[row] ?? ''
    const device = tag.slice(0, tag.lastIndexOf('/'))
    this.#deviceOf[row] = device
    const linked = this.#ofDevice.get(device) ?? { rows: [], stale: [] }
    this.#ofDevice.set(device, linked)
    linked.rows.push(row)
    this.#ofRow[row] = [...linked.stale]
    if (row >= this.#gapAt.length) {
      const wider = new Float64Array(Math.max(1_024, this.#gapAt.length * 2)).fill(Number.NaN)
      wider.set(this.#gapAt)
      this.#gapAt = wider
    }
  }

  #link(instance: Instance): void {
    if (instance.row >= 0) {
      this.#ofRow[instance.row]?.push(instance)
    } else if (instance.rule.source === 'device') {
      const linked = this.#ofDevice.get(instance.source) ?? { rows: [], stale: [] }
      this.#ofDevice.set(instance.source, linked)
      linked.stale.push(instance)
      for (const row of linked.rows) this.#ofRow[row]?.push(instance)
    }
    this.#arm(instance)
  }

  #remove(instance: Instance): void {
    this.#parts.instances.delete(instance.id)
    instance.timerAt = null
    const drop = (list: Instance[] | undefined) => {
      const place = list?.indexOf(instance) ?? -1
      if (place >= 0) list?.splice(place, 1)
    }
    if (instance.row >= 0) drop(this.#ofRow[instance.row])
    const linked = instance.device === null ? undefined : this.#ofDevice.get(instance.device)
    drop(linked?.stale)
    for (const row of linked?.rows ?? []) drop(this.#ofRow[row])
  }

  /** New rules: what stays the same is not touched, what changed is judged again by the value that is held, what is gone ends. */
  #configure(input: EngineInput & { kind: 'rules' }): void {
    const parts = this.#parts
    if (input.hash === parts.rulesHash) return
    const { rules, maxInhibitMs } = compileRules(input.files)
    parts.rules = rules
    parts.rulesHash = input.hash
    parts.maxInhibitMs = maxInhibitMs
    this.#note('CONFIG', null, null, { reason: input.hash })
    parts.tags.forgetIgnored()
    const byId = new Map(rules.map(rule => [rule.id, rule]))
    const touched = new Set<number>()
    for (const instance of [...parts.instances.values()].sort((a, b) => (a.id < b.id ? -1 : 1))) {
      if (instance.rule.kind === 'inhibit') continue
      const rule = byId.get(instance.rule.id)
      if (
        !rule ||
        rule.source !== instance.rule.source ||
        rule.kind !== instance.rule.kind ||
        !rule.matches(instance.source)
      ) {
        instance.record = null
        this.#commit(instance, { type: 'retire', t: input.at }, true)
        if (!isOpen(instance.state)) this.#remove(instance)
      } else {
        const old = instance.rule
        instance.rule = rule
        if (rule.hash !== old.hash) {
          if (instance.record) {
            const record = instance.record
            instance.record = { ...record, state: migrate(record.state, old, rule, input.at).state, open: null }
          }
          this.#take(instance, migrate(instance.state, old, rule, input.at), true)
          this.#arm(instance)
          if (instance.row >= 0) touched.add(instance.row)
        }
        this.#changed.add(instance)
      }
    }
    for (let row = 0; row < parts.tags.size; row++) if (this.#populate(row)) touched.add(row)
    for (const [edge, online] of [...parts.edges].sort(([a], [b]) => (a < b ? -1 : 1))) this.#edge(edge, online)
    for (let row = 0; row < parts.tags.size; row++) {
      if (touched.has(row) && parts.tags.qualityOf(row) !== null) this.#evaluateHeld(row)
      else this.#rest(row)
      this.#armGap(row)
    }
  }

  // ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #command(input: EngineInput & { kind: 'command' }): void {
    const { answers } = this.#parts
    if (answers.has(input.commandId)) return
    answers.set(input.commandId, { command: commandKey(input.command), answer: this.#carryOut(input) })
    for (const oldest of answers.keys()) {
      if (answers.size <= keptAnswers) break
      answers.delete(oldest)
    }
  }

  #carryOut(input: EngineInput & { kind: 'command' }): CommandAnswer {
    const { command, actor, commandId } = input
    if (command.type === 'inhibit') return this.#inhibit(command, actor, commandId)
    if (command.type === 'end-inhibit') {
      const device = command.device.replace(':', '/')
      if (!this.#parts.inhibits.of(device)) return this.#refuse(device, 'not_inhibited', actor, commandId)
      this.#endInhibit(device, actor, commandId)
      return { ok: true, alarm: null }
    }
    // A late finding is named `rule@source~occ`; its number is in the command as well.
    const instance = this.#parts.instances.get(command.alarm.replace(/~\d+$/, ''))
    if (!instance) return this.#refuse(command.alarm, 'unknown_alarm', actor, commandId)
    const common = { t: this.#parts.now, occ: command.occ, actor, commandId }
    const result = this.#commit(
      instance,
      command.type === 'reset'
        ? { type: 'reset', ...common }
        : {
            type: 'ack',
            ...common,
            ann: command.ann,
            ...(command.comment !== undefined && { comment: command.comment }),
          },
      true,
    )
    return result.refused ? { ok: false, code: result.refused, alarm: instance.id } : { ok: true, alarm: instance.id }
  }

  #inhibit(
    command: { device: string; until: number; reason: string },
    actor: string,
    commandId: string,
  ): CommandAnswer {
    const { now, inhibits, maxInhibitMs } = this.#parts
    const device = command.device.replace(':', '/')
    const linked = this.#ofDevice.get(device)
    if (!linked) return this.#refuse(device, 'unknown_device', actor, commandId)
    if (command.until <= now) return this.#refuse(device, 'in_the_past', actor, commandId)
    const from = inhibits.of(device)?.from ?? now
    // Prolonged again and again it would have no limit: the time counts from its beginning.
    if (command.until > from + maxInhibitMs) return this.#refuse(device, 'too_long', actor, commandId)
    const inhibit: Inhibit = { device, from, until: command.until, actor, reason: command.reason }
    inhibits.start(inhibit)
    this.#armInhibit(inhibit)
    this.#note('INHIBIT', device, actor, { reason: command.reason, commandId, returnedAt: command.until })
    for (const row of linked.rows) {
      for (const instance of this.#ofRow[row] ?? []) {
        if (instance.rule.kind === 'inhibit' || instance.state.e !== 'on') continue
        this.#commit(
          instance,
          {
            type: 'unknown',
            t: Math.max(now, this.#parts.tags.cells[row * stride + cell.time] ?? now),
            health: 'inhibited',
          },
          true,
        )
      }
      this.#rest(row)
    }
    return { ok: true, alarm: null }
  }

  #refuse(source: string, code: RefuseCode, actor: string, commandId: string): CommandAnswer {
    this.#note('REFUSE', source, actor, { reason: code, commandId })
    return { ok: false, code, alarm: null }
  }

  // ── the journal ───────────────────────────────────────────────────────────────────────────────────────────────────

  #write(instance: Instance, effect: Effect, lane: 'live' | 'record'): void {
    const { rule, source } = instance
    const level = rule.levels[effect.level]
    const reading = rule.kind === 'quality' && instance.row >= 0 ? this.#parts.tags.reasonOf(instance.row) : null
    const reason = effect.reason ?? (effect.kind === 'RAISE' || effect.kind === 'LEVEL' ? reading : null)
    this.#out.push({
      kind: effect.kind,
      position: this.#position,
      index: this.#firstIndex + this.#out.length,
      at: effect.at,
      appliedAt: this.#parts.now,
      lane,
      cause: effect.cause,
      announce: effect.announce,
      alarm: instance.id,
      rule: rule.id,
      ruleHash: rule.hash,
      source,
      priority: level?.priority ?? null,
      level: level?.name ?? null,
      fromLevel: effect.fromLevel === undefined ? null : (rule.levels[effect.fromLevel]?.name ?? null),
      before: effect.before,
      after: effect.after,
      occ: effect.occ,
      ann: effect.ann,
      value: effect.value,
      limit: level?.limit ?? null,
      unit: rule.unit,
      reason,
      activeSince: effect.activeSince ?? null,
      returnedAt: effect.returnedAt ?? null,
      late: effect.late ?? false,
      count: effect.count ?? 1,
      actor: effect.actor ?? null,
      commandId: effect.commandId ?? null,
      comment: effect.comment ?? null,
      text: journalText(rule, source, level ?? null, effect.value, reason),
      route: rule.route,
    })
  }

  /** A record about a device, a tag or the engine itself. */
  #note(
    kind: JournalRecord['kind'],
    source: string | null,
    actor: string | null,
    more: Partial<Pick<JournalRecord, 'reason' | 'activeSince' | 'returnedAt' | 'commandId'>>,
  ): void {
    this.#out.push({
      kind,
      position: this.#position,
      index: this.#firstIndex + this.#out.length,
      at: this.#parts.now,
      appliedAt: this.#parts.now,
      lane: 'live',
      cause: null,
      announce: false,
      alarm: null,
      rule: null,
      ruleHash: null,
      source,
      priority: null,
      level: null,
      fromLevel: null,
      before: null,
      after: null,
      occ: null,
      ann: null,
      value: null,
      limit: null,
      unit: null,
      reason: null,
      activeSince: null,
      returnedAt: null,
      late: false,
      count: 1,
      actor,
      commandId: null,
      comment: null,
      text: null,
      route: null,
      ...more,
    })
  }
}

const noStep = (instance: Instance): Step => ({ state: instance.state, effects: [], refused: null })

/** What a rule calls the source that a tag belongs to. */
const sourceOf = (rule: CompiledRule, tag: string): string =>
  rule.source === 'device' ? tag.slice(0, tag.lastIndexOf('/')) : tag
