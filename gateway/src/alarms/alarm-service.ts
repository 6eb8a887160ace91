import { AlarmEngine } from '@penstock/core/alarms/engine.ts'
import type { Inhibit } from '@penstock/core/alarms/inhibits.ts'
import type { CommandAnswer, EngineInput } from '@penstock/core/alarms/input.ts'
import type { JournalRecord } from '@penstock/core/alarms/journal-record.ts'
import { alarmLimits } from '@penstock/core/alarms/limits.ts'
import type { RuleFile } from '@penstock/core/alarms/rule-file.ts'
import { isOpen } from '@penstock/core/alarms/state.ts'
import { type AlarmView, compareViews, viewsOf } from '@penstock/core/alarms/view.ts'
import type { AlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import type { Cancel, Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { Consumer, InboxWriter } from '../consumer.ts'
import type { AlarmCommand, EdgeKey, InboxRecord } from '../ingest/record.ts'
import { engineInputs } from './engine-input.ts'
import { AlarmJournal } from './journal.ts'
import { SnapshotStore } from './snapshot-store.ts'

export interface AlarmServiceOptions {
  /** folder of journal and snapshots */
  readonly folder: string
  readonly files: FileLayer
  readonly clock: Clock
  readonly ticker: Ticker
  readonly log: Logger
  /** tags that an edge serves, by its births; for the limits that it is told */
  readonly tagsOf: (edge: EdgeKey) => Iterable<string>
  /** inbox entries between two snapshots */
  readonly snapshotEvery?: number
}

/** While nothing else comes, a tick says that the engine runs; a longer pause in the inbox means that it did not. */
const keepAliveMs = 20_000
const snapshotEntries = 100_000
const snapshotMs = 5 * 60_000
const retryMs = 1_000

/**
 * The alarm engine at the gateway: a consumer of the inbox. State = fold over the inbox; the journal gets what the fold says,
 * a crash is mended by folding again from the snapshot. It acts on nothing else: time comes in as ticks through the inbox.
 */
export class AlarmService implements Consumer {
  readonly name = 'alarms'
  readonly journal: AlarmJournal
  readonly #options: AlarmServiceOptions
  readonly #snapshots: SnapshotStore
  readonly #engine: AlarmEngine
  #files: readonly RuleFile[]
  /** next inbox position to fold */
  #next: number
  #sinceSnapshot = 0
  #snapshotAt: number
  #inbox: InboxWriter | null = null
  #cancelTimer: Cancel | undefined
  #timerDue = Number.POSITIVE_INFINITY
  #tickWaits = false
  readonly #waiting = new Map<
    string,
    {
      readonly command: AlarmCommand
      readonly promise: Promise<CommandAnswer>
      readonly settle: (answer: CommandAnswer) => void
      readonly fail: (error: unknown) => void
    }
  >()
  readonly #limits = new Map<EdgeKey, { readonly hash: string; readonly limits: AlarmLimits } | null>()
  readonly #changeListeners = new Set<(ids: readonly string[]) => void>()
  readonly #journalListeners = new Set<() => void>()
  readonly #changedIds = new Set<string>()
  #unsynced = false
  #saving: Promise<void> = Promise.resolve()
  #closed = false

  private constructor(
    options: AlarmServiceOptions,
    journal: AlarmJournal,
    snapshots: SnapshotStore,
    engine: AlarmEngine,
    files: readonly RuleFile[],
    next: number,
  ) {
    this.#options = options
    this.journal = journal
    this.#snapshots = snapshots
    this.#engine = engine
    this.#files = files
    this.#next = next
    this.#snapshotAt = options.ticker.now()
  }

  /** @throws PenstockError `disk-failed` */
  static async open(options: AlarmServiceOptions): Promise<AlarmService> {
    const { folder, files, log } = options
    await files.makeFolder(folder)
    const journal = await AlarmJournal.open({
      folder: `${folder}/journal`,
      files,
      onDamage: damage => log.error({ ...damage }, 'the alarm journal holds something unreadable'),
    })
    const snapshots = new SnapshotStore(folder, files, log)
    const saved = await snapshots.load()
    if (!saved && journal.end > 0) {
      const details = { records: journal.end }
      // Before the first snapshot the inbox is kept whole, and the state that is folded from it is complete.
      if (snapshots.found) {
        log.error(details, 'no snapshot of the alarms is readable; their state is made from what the inbox still has')
      } else log.warn(details, 'there is no snapshot of the alarms yet; their state is made from the inbox')
    }
    return new AlarmService(
      options,
      journal,
      snapshots,
      saved?.engine ?? new AlarmEngine(),
      saved?.files ?? [],
      saved?.next ?? 0,
    )
  }

  get cursor(): number {
    return this.#snapshots.cursor
  }

  /** One above the highest inbox position that took effect here. */
  get reach(): number {
    return Math.max(this.#next, this.journal.nextPosition)
  }

  async apply(records: readonly InboxRecord[]): Promise<void> {
    for (const { position, entry } of records) {
      // After a failed write the same records come again: what was folded is folded.
      if (position < this.#next) continue
      this.#next = position + 1
      this.#sinceSnapshot++
      const inputs = this.#inputs(entry)
      let index = 0
      for (const input of inputs) {
        const effects = this.#engine.apply(position, input, index)
        index += effects.length
        if (this.journal.append(effects) > 0) this.#unsynced = true
        for (const effect of effects) this.#noteChange(effect)
      }
      if (entry.kind === 'tick') this.#tickWaits = false
      if (entry.kind === 'edge') this.#limits.delete(entry.edge)
      if (entry.kind === 'config' && entry.what === 'rules') this.#limits.clear()
    }
    if (this.#unsynced) await this.journal.sync()
    const news = this.#unsynced
    this.#unsynced = false
    this.#announce(news)
    this.#schedule()
    await this.#maybeSnapshot()
  }

  /** From now on time passes: ticks go into the inbox when something falls due. Call it when the fold is at its end. */
  start(inbox: InboxWriter): void {
    this.#inbox = inbox
    this.#tick()
  }

  /**
   * Carries out a command through the inbox; resolves when its effect, or its refusal, is durable. The same id with the same
   * command has the same answer, also after a restart.
   * @throws PenstockError `closed`, or what the inbox throws when nothing can be written
   */
  async submit(command: AlarmCommand, actor: string, commandId: string): Promise<CommandAnswer> {
    if (this.#closed || !this.#inbox) throw new PenstockError('closed', { what: 'the alarm engine' })
    const known = this.#engine.answerOf(commandId, command)
    if (known) return known
    const running = this.#waiting.get(commandId)
    if (running) {
      const same = JSON.stringify(running.command) === JSON.stringify(command)
      return same ? running.promise : { ok: false, code: 'command_id_reused', alarm: null }
    }
    const { promise, resolve, reject } = Promise.withResolvers<CommandAnswer>()
    this.#waiting.set(commandId, { command, promise, settle: resolve, fail: reject })
    try {
      this.#inbox.append({ kind: 'command', commandId, actor, at: this.#options.clock.now(), command })
      await this.#inbox.commit()
    } catch (error) {
      this.#waiting.delete(commandId)
      reject(error)
    }
    return promise
  }

  /** Open alarms, most urgent first. */
  open(): AlarmView[] {
    const views: AlarmView[] = []
    for (const instance of this.#engine.instances()) {
      if (!isOpen(instance.state)) continue
      for (const view of viewsOf(this.#engine, instance)) if (view.state !== 'NORMAL') views.push(view)
    }
    return views.sort(compareViews)
  }

  /** Every alarm that exists, open or not. */
  *all(): Iterable<AlarmView> {
    for (const instance of this.#engine.instances()) yield* viewsOf(this.#engine, instance)
  }

  /** One alarm by `rule@source`, or a late finding by `rule@source~occ` (as returned to normal once it is acknowledged). */
  find(id: string): AlarmView | undefined {
    const [base = id, occ] = id.split('~')
    const instance = this.#engine.instance(base)
    if (!instance) return undefined
    const views = viewsOf(this.#engine, instance)
    const found = views.find(view => view.id === id)
    if (found || occ === undefined || Number(occ) > instance.state.lastOcc) return found
    const [present] = views
    return (
      present && {
        ...present,
        id,
        occ: Number(occ),
        ann: 1,
        state: 'NORMAL',
        active: false,
        acknowledged: true,
        latched: false,
        late: true,
      }
    )
  }

  inhibits(): readonly Inhibit[] {
    return this.#engine.inhibits
  }

  get rulesHash(): string {
    return this.#engine.rulesHash
  }

  /** longest inhibit that the rules in effect allow */
  get maxInhibitMs(): number {
    return this.#engine.maxInhibitMs
  }

  /** Consequence and action of a rule, for messages. */
  ruleOf(id: string) {
    return this.#engine.rules.find(rule => rule.id === id)
  }

  /** Whether a rule reads the tag: its live values then go through the inbox. */
  readsLive(tag: string): boolean {
    return this.#engine.reads(tag)
  }

  /** The limits an edge must report whatever its deadbands; null while its tags are not known. */
  limitsFor(edge: EdgeKey): { readonly hash: string; readonly limits: AlarmLimits } | null {
    const cached = this.#limits.get(edge)
    if (cached !== undefined) return cached
    const tags = [...this.#options.tagsOf(edge)]
    const limits = tags.length > 0 ? alarmLimits(this.#engine.rules, tags) : null
    if (limits) this.#limits.set(edge, limits)
    return limits
  }

  /** Told of alarms that changed, also those no longer open, when the change is durable. Must not throw. */
  onChange(listener: (ids: readonly string[]) => void): () => void {
    this.#changeListeners.add(listener)
    return () => this.#changeListeners.delete(listener)
  }

  /** Told when durable records were added to the journal. Must not throw. */
  onJournal(listener: () => void): () => void {
    this.#journalListeners.add(listener)
    return () => this.#journalListeners.delete(listener)
  }

  async flush(): Promise<void> {
    if (this.#unsynced) await this.journal.sync()
    if (this.#sinceSnapshot > 0 || this.cursor < this.#next) await this.#snapshot()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#cancelTimer?.()
    for (const { fail } of this.#waiting.values()) fail(new PenstockError('closed', { what: 'the alarm engine' }))
    this.#waiting.clear()
    if (this.#unsynced) await this.journal.sync()
    if (this.#sinceSnapshot > 0) await this.#snapshot()
    await this.journal.close()
  }

  #inputs(entry: InboxRecord['entry']): EngineInput[] {
    const inputs = engineInputs(entry)
    for (const input of inputs)
      if (input.kind === 'rules' && input.hash !== this.#engine.rulesHash) this.#files = input.files
    return inputs
  }

  #noteChange(record: JournalRecord): void {
    if (record.alarm === null) return
    if (record.late && record.occ !== null) this.#changedIds.add(`${record.alarm}~${record.occ}`)
  }

  #announce(news: boolean): void {
    for (const instance of this.#engine.takeChanged()) this.#changedIds.add(instance.id)
    for (const [commandId, { command, settle }] of this.#waiting) {
      const answer = this.#engine.answerOf(commandId, command)
      if (!answer) continue
      this.#waiting.delete(commandId)
      settle(answer)
    }
    if (this.#changedIds.size > 0) {
      const ids = [...this.#changedIds]
      this.#changedIds.clear()
      for (const listener of this.#changeListeners) listener(ids)
    }
    if (news) for (const listener of this.#journalListeners) listener()
  }

  #schedule(): void {
    if (!this.#inbox || this.#closed) return
    const due = Math.min(this.#engine.nextDue() ?? Number.POSITIVE_INFINITY, this.#engine.now + keepAliveMs)
    if (due === this.#timerDue) return
    this.#cancelTimer?.()
    this.#timerDue = due
    this.#cancelTimer = this.#options.clock.after(Math.max(0, due - this.#options.clock.now()), () => {
      this.#timerDue = Number.POSITIVE_INFINITY
      this.#tick()
    })
  }

  #tick(): void {
    if (!this.#inbox || this.#closed || this.#tickWaits) return
    const now = this.#options.clock.now()
    const due = Math.min(this.#engine.nextDue() ?? Number.POSITIVE_INFINITY, this.#engine.now + keepAliveMs)
    if (now < due) {
      this.#schedule()
      return
    }
    try {
      this.#inbox.append({ kind: 'tick', at: now })
      this.#tickWaits = true
    } catch (error) {
      this.#options.log.error({ err: error }, 'time cannot be told to the alarm engine')
      this.#cancelTimer?.()
      this.#cancelTimer = this.#options.ticker.after(retryMs, () => this.#tick())
    }
  }

  async #maybeSnapshot(): Promise<void> {
    const old = this.#options.ticker.now() - this.#snapshotAt >= snapshotMs
    if (this.#sinceSnapshot >= (this.#options.snapshotEvery ?? snapshotEntries) || (old && this.#sinceSnapshot > 0)) {
      try {
        await this.#snapshot()
      } catch (error) {
        // The fold stands without it; the inbox keeps what a start would need.
        this.#options.log.warn({ err: error }, 'the snapshot of the alarms was not written')
        this.#snapshotAt = this.#options.ticker.now()
      }
    }
  }

  /** One after the other: flush and close may come together. */
  #snapshot(): Promise<void> {
    const before = this.#saving
    this.#saving = before.catch(() => undefined).then(() => this.#saveNow())
    return this.#saving
  }

  async #saveNow(): Promise<void> {
    if (this.cursor >= this.#next) return
    const since = this.#sinceSnapshot
    await this.#snapshots.save(this.#engine, this.#files, this.#next)
    this.#sinceSnapshot -= since
    this.#snapshotAt = this.#options.ticker.now()
  }
}
