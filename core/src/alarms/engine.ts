import type { Quality, Reading, Reason } from '../reading.ts'
import { Calibration } from './calibration.ts'
import { cell, numberAt, stride } from './columns.ts'
import type { CompiledRule } from './compile.ts'
import { numberOf } from './evaluate.ts'
import type { Inhibit } from './inhibits.ts'
import { type CommandAnswer, commandKey, type EngineCommand, type EngineInput, type Lane } from './input.ts'
import { type Instance, nextDelay } from './instance.ts'
import type { JournalRecord, RefuseCode } from './journal-record.ts'
import { LiveLane } from './live-lane.ts'
import { type EngineParts, emptyParts } from './parts.ts'
import { isRead, Population } from './population.ts'
import { RecordLane } from './record-lane.ts'
import { Records } from './records.ts'
import { type Due, Schedule } from './schedule.ts'
import { Silence } from './silence.ts'
import { Sources } from './sources.ts'

/** A pause of the input longer than this means that the engine did not run. */
export const downAfterMs = 60_000
/** A clock that goes back by more than this was set; less is jitter. */
const setBackMs = 60_000
const keptAnswers = 2_000

/**
 * The alarm engine: state = fold of `apply` over the inputs, in their order. It reads no clock; time is what the inputs say.
 * `apply` returns the journal records that an input causes. The caller sees to it that a `tick` comes when `nextDue` says.
 */
export class AlarmEngine {
  readonly #parts: EngineParts
  readonly #schedule: Schedule
  readonly #records: Records
  readonly #record: RecordLane
  readonly #live: LiveLane
  readonly #population: Population
  readonly #silence: Silence
  readonly #calibration: Calibration

  constructor(parts: EngineParts = emptyParts()) {
    const sources = new Sources(parts)
    const schedule = new Schedule(parts, sources)
    const records = new Records(parts)
    const record = new RecordLane(parts, sources, records)
    const live = new LiveLane({ parts, sources, schedule, records, record })
    const population = new Population({ parts, sources, schedule, records, live })
    const create = (rule: CompiledRule, source: string, row: number) => population.create(rule, source, row)
    this.#parts = parts
    this.#schedule = schedule
    this.#records = records
    this.#record = record
    this.#live = live
    this.#population = population
    this.#silence = new Silence(parts, sources, live, create)
    this.#calibration = new Calibration({ parts, sources, schedule, records, live, create })
    for (let row = 0; row < parts.tags.size; row++) live.rest(row)
  }

  get now(): number {
    return this.#parts.now
  }

  get rulesHash(): string {
    return this.#parts.rulesHash
  }

  /** longest inhibit that the rules allow */
  get maxInhibitMs(): number {
    return this.#parts.maxInhibitMs
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

  /** Newest value and quality of the tag behind an alarm; nothing for alarms of devices and edges. */
  tagOf({ row }: Instance): { value: number | null; quality: Quality | null; reason: Reason | null } {
    const { tags } = this.#parts
    return { value: tags.valueOf(row), quality: tags.qualityOf(row), reason: tags.reasonOf(row) }
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
    return row === undefined ? isRead(this.#parts.rules, tag) : row >= 0
  }

  /** Alarms that changed since the last call, also those that are gone from the list. */
  takeChanged(): Instance[] {
    return this.#records.takeChanged()
  }

  /** When the engine next has something to do without any input, by the gateway's clock; null: never. */
  nextDue(): number | null {
    return this.#schedule.next()
  }

  /**
   * Applies one input; `position` is its place in the inbox and is written into the records it causes, `firstIndex` the number
   * of records that an earlier input of the same entry has caused.
   */
  apply(position: number, input: EngineInput, firstIndex = 0): readonly JournalRecord[] {
    this.#records.begin(position, firstIndex)
    this.#live.holdsNothing()
    this.#advance(input.at)
    switch (input.kind) {
      case 'readings':
        // Whoever sends is there, whatever became of the word of it (a pause of the engine, a step of the clock).
        if (input.edge !== undefined && this.#parts.edges.get(input.edge) === false)
          this.#silence.edge(input.edge, true)
        this.#readings(input.readings, input.lane, input.at, input.skewMs)
        break
      case 'lost':
        for (const tag of input.tags) {
          const row = this.#population.rowOf(tag)
          if (row >= 0) this.#silence.lost(row, input.reason)
        }
        break
      case 'edge':
        this.#silence.edge(input.edge, input.online)
        break
      case 'known':
        for (const tag of input.tags) this.#population.rowOf(tag)
        break
      case 'command':
        this.#command(input)
        break
      case 'rules':
        if (this.#population.configure(input)) {
          for (const [edge, online] of byName(this.#parts.edges)) this.#silence.edge(edge, online)
        }
        break
      case 'tick':
        break
    }
    return this.#records.written
  }

  /**
   * Evaluates rows of the tag table from columns: the way in for whoever has numbers, not readings (and for the benchmark).
   * `times` are source times, on lane `current`; returns how many were outside the quiet zone.
   */
  evaluateColumns(rows: Uint32Array, times: Float64Array, values: Float64Array, at: number): number {
    let slow = 0
    this.#records.begin(-1, 0)
    this.#advance(at)
    for (let k = 0; k < rows.length; k++) {
      k = passQuiet(this.#parts.tags.cells, rows, times, values, at, k)
      if (k === rows.length) break
      const reading = { quality: 'good', reason: null, sourceTimestamp: times[k] ?? 0 } as const
      this.#outside(rows[k] ?? 0, reading, values[k] ?? Number.NaN, 'current', at, 0)
      slow += 1
    }
    return slow
  }

  #readings(readings: readonly Reading[], lane: Lane, at: number, skewMs: number): void {
    const { tags } = this.#parts
    for (const reading of readings) {
      const row = tags.find(reading.tag) ?? this.#population.rowOf(reading.tag)
      if (row < 0) continue
      const { cells } = tags
      const own = row * stride
      const raw = reading.value
      const value = typeof raw === 'number' ? raw : (numberOf(raw) ?? Number.NaN)
      const inside =
        reading.quality === 'good' && value > numberAt(cells, own) && value < numberAt(cells, own + cell.hi)
      // A copy may leave the record lane alone; a backlog never goes past it.
      if (inside && (lane === 'copy' || (lane === 'current' && cells[own + cell.forked] === 0))) {
        const t = reading.sourceTimestamp
        const event = Math.min(t + skewMs, at)
        cells[own + cell.source] = t
        if (lane === 'current') cells[own + cell.durable] = t
        if (event > numberAt(cells, own + cell.time)) cells[own + cell.time] = event
        cells[own + cell.received] = at
        cells[own + cell.value] = value
      } else {
        this.#outside(row, reading, value, lane, at, skewMs)
      }
    }
  }

  /** A reading that may change something. */
  #outside(
    row: number,
    reading: Pick<Reading, 'quality' | 'reason' | 'sourceTimestamp'>,
    number: number,
    lane: Lane,
    at: number,
    skewMs: number,
  ): void {
    const { tags } = this.#parts
    const { cells } = tags
    const own = row * stride
    const { quality, reason, sourceTimestamp: stamp } = reading
    const value = Number.isNaN(number) ? null : number
    const newest = numberAt(cells, own + cell.source)
    const same =
      stamp === newest &&
      value === tags.valueOf(row) &&
      quality === tags.qualityOf(row) &&
      reason === tags.reasonOf(row)
    if (quality !== 'bad') cells[own + cell.received] = Math.max(numberAt(cells, own + cell.received), at)
    if (lane !== 'copy') {
      const last = numberAt(cells, own + cell.durable)
      // Older than what the durable lane has had, and the source's clock did not step back: a repeat from a restored disk.
      if (lane === 'backlog' && stamp < last && newest >= last) return
      cells[own + cell.durable] = stamp
      if (lane === 'backlog') this.#record.open(row, this.#live.heldValue(row))
      if (this.#record.isOpen(row)) this.#record.apply(row, value, reading, last, at, skewMs)
    }
    if (lane === 'backlog' ? stamp > newest : !same) {
      this.#live.holds(row)
      cells[own + cell.source] = stamp
      cells[own + cell.value] = number
      tags.setQuality(row, quality, reason)
      this.#live.moveTime(row, Math.min(stamp + skewMs, at))
      this.#calibration.says(row, quality, reason)
      this.#live.evaluate(row, lane !== 'copy', true)
    } else if (lane !== 'backlog') {
      this.#live.repeated(row, lane !== 'copy')
    }
    if (lane !== 'copy' && this.#record.isOpen(row) && stamp >= numberAt(cells, own + cell.source))
      this.#live.catchUp(row)
    this.#live.rest(row)
    this.#schedule.armGap(row)
  }

  /** Lets time pass up to an input: what falls due until then comes first. */
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
      const due = this.#schedule.next()
      if (due === null || due > parts.now) return
      const what = this.#schedule.take()
      if (what) this.#fire(what)
    }
  }

  #fire(due: Due): void {
    switch (due.kind) {
      case 'instance': {
        const { instance } = due
        const { rule, row } = instance
        const value = row >= 0 ? this.#parts.tags.valueOf(row) : null
        this.#live.holdsNothing()
        this.#live.commit(
          instance,
          { type: 'timers', upTo: this.#parts.now - rule.latenessMs, strict: false, value },
          true,
        )
        if (rule.kind === 'stale' && rule.source !== 'edge') this.#silence.silent(instance)
        this.#schedule.arm(instance)
        if (row >= 0) this.#live.rest(row)
        return
      }
      case 'gap':
        this.#silence.gap(due.row)
        return
      case 'inhibit':
        this.#calibration.end(due.device, 'system', null)
        return
      case 'self-inhibit':
        this.#calibration.tooLong(due.tag)
    }
  }

  /** The engine did not run: nothing is cleared or acknowledged by that, but everything has to be verified anew. */
  #down(from: number, to: number): void {
    const { tags } = this.#parts
    this.#parts.bootedAt = to
    this.#records.note('DOWN', null, null, { activeSince: from })
    this.#live.holdsNothing()
    for (const instance of this.#parts.instances.values()) {
      if (instance.rule.kind === 'inhibit' || instance.state.e !== 'on') continue
      this.#live.commit(instance, { type: 'unknown', t: from, health: 'init' }, false)
    }
    for (let row = 0; row < tags.size; row++) this.#live.rest(row)
    // An edge that does not come back after the pause has gone silent: its alarm waits from now on.
    for (const [edge] of byName(this.#parts.edges)) this.#silence.edge(edge, false)
  }

  /** The gateway's clock was set back: what waits goes on waiting for as long as was left. */
  #setBack(at: number): void {
    const parts = this.#parts
    const { cells } = parts.tags
    const by = parts.now - at
    parts.now = at
    parts.bootedAt = Math.min(parts.bootedAt, at)
    this.#records.note('CLOCK', null, null, { activeSince: at + by })
    for (let row = 0; row < parts.tags.size; row++) {
      const own = row * stride
      cells[own + cell.time] = Math.min(numberAt(cells, own + cell.time), at)
      cells[own + cell.received] = Math.min(numberAt(cells, own + cell.received), at)
    }
    for (const inhibit of parts.inhibits.running) {
      parts.inhibits.start({ ...inhibit, from: inhibit.from - by, until: inhibit.until - by })
    }
    for (const [tag, since] of parts.selfInhibits) parts.selfInhibits.set(tag, since - by)
    for (const instance of parts.instances.values()) {
      const { state } = instance
      if (state.v < 0 && nextDelay(state) === null) continue
      const levels = state.levels.map(level => ({
        ...level,
        due: level.due === null ? null : level.due - by,
        since: Math.min(level.since, at),
      }))
      instance.state = {
        ...state,
        levels,
        activeSince: state.activeSince === null ? null : Math.min(state.activeSince, at),
      }
    }
    this.#schedule.rebuild()
  }

  #command(input: EngineInput & { kind: 'command' }): void {
    const { answers } = this.#parts
    if (answers.has(input.commandId)) return
    answers.set(input.commandId, { command: commandKey(input.command), answer: this.#carryOut(input) })
    for (const oldest of answers.keys()) {
      if (answers.size <= keptAnswers) break
      answers.delete(oldest)
    }
  }

  #carryOut({ command, actor, commandId }: EngineInput & { kind: 'command' }): CommandAnswer {
    const refuse = (source: string, code: RefuseCode): CommandAnswer => {
      this.#records.note('REFUSE', source, actor, { reason: code, commandId })
      return { ok: false, code, alarm: null }
    }
    if (command.type === 'inhibit' || command.type === 'end-inhibit') {
      const device = command.device.replace(':', '/')
      if (command.type === 'end-inhibit') {
        return this.#calibration.end(device, actor, commandId)
          ? { ok: true, alarm: null }
          : refuse(device, 'not_inhibited')
      }
      const { until, reason } = command
      const code = this.#calibration.start({ device, until, reason, actor }, commandId)
      return code === null ? { ok: true, alarm: null } : refuse(device, code)
    }
    // A late finding is named `rule@source~occ`; its number is in the command as well.
    const instance = this.#parts.instances.get(command.alarm.replace(/~\d+$/, ''))
    if (!instance) return refuse(command.alarm, 'unknown_alarm')
    const common = { t: this.#parts.now, occ: command.occ, actor, commandId }
    const { refused } = this.#live.commit(
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
    return refused ? { ok: false, code: refused, alarm: instance.id } : { ok: true, alarm: instance.id }
  }
}

const byName = <T>(map: ReadonlyMap<string, T>): [string, T][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1))

/** Takes in readings from place `from` on that lie inside their quiet zones; returns the place of the first that does not. */
function passQuiet(
  cells: Float64Array,
  rows: Uint32Array,
  times: Float64Array,
  values: Float64Array,
  at: number,
  from: number,
): number {
  for (let k = from; k < rows.length; k++) {
    const own = (rows[k] ?? 0) * stride
    const value = numberAt(values, k)
    const inside = value > numberAt(cells, own) && value < numberAt(cells, own + cell.hi)
    if (!inside || cells[own + cell.forked] !== 0) return k
    const t = numberAt(times, k)
    cells[own + cell.source] = t
    cells[own + cell.durable] = t
    if (t > numberAt(cells, own + cell.time)) cells[own + cell.time] = t < at ? t : at
    cells[own + cell.received] = at
    cells[own + cell.value] = value
  }
  return rows.length
}
