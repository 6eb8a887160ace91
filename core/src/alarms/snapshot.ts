import { inhibitTooLong } from './built-in.ts'
import { stride, TagColumns } from './columns.ts'
import { alarmId, type CompiledRule, compileRules } from './compile.ts'
import { AlarmEngine } from './engine.ts'
import { Inhibits, type InhibitsJson } from './inhibits.ts'
import type { CommandAnswer } from './input.ts'
import type { Instance, RecordInstance } from './instance.ts'
import { type EngineParts, emptyParts } from './parts.ts'
import { deviceOf } from './population.ts'
import type { RuleFile } from './rule-file.ts'
import { type AlarmState, type Health, initialState, isPristine } from './state.ts'

/** Version of the format; a snapshot of another version is not read but made anew from the inbox. */
export const snapshotVersion = 1

interface InstanceJson {
  readonly rule: string
  readonly source: string
  readonly state: AlarmState
  readonly record?: RecordInstance
  readonly reports?: number
  readonly reportedAt?: number
}

interface SnapshotJson {
  readonly version: number
  readonly now: number
  readonly bootedAt: number
  readonly rulesHash: string
  readonly files: readonly RuleFile[]
  readonly goneRules: readonly CompiledRule[]
  readonly tags: readonly string[]
  readonly columns: { readonly cells: string; readonly quality: string; readonly reason: string }
  readonly instances: readonly InstanceJson[]
  /** instances that nothing ever happened to: rule → health → sources */
  readonly pristine: Readonly<Record<string, Partial<Record<Health, readonly string[]>>>>
  readonly edges: readonly (readonly [string, boolean])[]
  readonly inhibits: InhibitsJson
  readonly selfInhibits: readonly (readonly [string, number])[]
  readonly answers: readonly (readonly [string, { command: string; answer: CommandAnswer }])[]
}

/** JSON has no infinity and writes null for it; a reviver for the whole snapshot would take seconds. */
function withOpenEnds(record: RecordInstance | undefined): RecordInstance | null {
  for (const occurrence of record?.liveOccurrences ?? []) {
    if (typeof occurrence.to !== 'number') occurrence.to = Number.POSITIVE_INFINITY
  }
  return record ?? null
}

/** The complete state of an engine as bytes; `files` are the rule files that it runs. */
export function encodeSnapshot(engine: AlarmEngine, files: readonly RuleFile[]): Uint8Array {
  const { parts } = engine
  const { tags } = parts
  const { buffer, byteOffset } = tags.cells
  const columns = {
    cells: Buffer.from(buffer, byteOffset, tags.size * stride * 8).toString('base64'),
    quality: Buffer.from(tags.quality.subarray(0, tags.size)).toString('base64'),
    reason: Buffer.from(tags.reason.subarray(0, tags.size)).toString('base64'),
  }
  const instances: InstanceJson[] = []
  const pristine: Record<string, Partial<Record<Health, string[]>>> = {}
  for (const instance of parts.instances.values()) {
    const { rule, source, state, record, reports, reportedAt } = instance
    if (isPristine(state) && !record && reports === 0 && rule.kind !== 'inhibit') {
      const byHealth = pristine[rule.id] ?? {}
      pristine[rule.id] = byHealth
      const sources = byHealth[state.h] ?? []
      byHealth[state.h] = sources
      sources.push(source)
      continue
    }
    instances.push({
      rule: rule.id,
      source,
      state,
      ...(record && { record }),
      ...(reports > 0 && { reports, reportedAt }),
    })
  }
  // Rules that are gone but still have open alarms travel with the state of those alarms.
  const json: SnapshotJson = {
    version: snapshotVersion,
    now: parts.now,
    bootedAt: parts.bootedAt,
    rulesHash: parts.rulesHash,
    files,
    goneRules: goneRules(parts),
    tags: tags.tags,
    columns,
    instances,
    pristine,
    edges: [...parts.edges],
    inhibits: parts.inhibits.toJson(),
    selfInhibits: [...parts.selfInhibits],
    answers: [...parts.answers],
  }
  return new TextEncoder().encode(JSON.stringify(json))
}

function goneRules(parts: Readonly<EngineParts>): CompiledRule[] {
  const gone = new Map<string, CompiledRule>()
  for (const { rule } of parts.instances.values()) {
    if (!parts.rules.includes(rule) && rule.kind !== 'inhibit') gone.set(rule.id, rule)
  }
  return [...gone.values()]
}

/** An engine as `encodeSnapshot` found it, and its rule files. Null for bytes of another version or no snapshot at all. */
export function decodeSnapshot(bytes: Uint8Array): { engine: AlarmEngine; files: readonly RuleFile[] } | null {
  const json = parse(bytes)
  if (!json) return null
  const { rules, maxInhibitMs } = compileRules(json.files)
  const byId = new Map<string, CompiledRule>()
  for (const rule of json.goneRules) byId.set(rule.id, { ...rule, matches: () => false, reasons: null })
  for (const rule of rules) byId.set(rule.id, rule)
  byId.set(inhibitTooLong.id, inhibitTooLong)
  const tags = decodeColumns(json)
  const instances = new Map<string, Instance>()
  const add = (one: InstanceJson) => {
    const rule = byId.get(one.rule)
    if (!rule) return
    const instance: Instance = {
      id: alarmId(rule.id, one.source),
      source: one.source,
      row: rule.source === 'tag' ? (tags.find(one.source) ?? -1) : -1,
      device: deviceOf(rule, one.source),
      rule,
      state: one.state,
      record: withOpenEnds(one.record),
      timerAt: null,
      reports: one.reports ?? 0,
      reportedAt: one.reportedAt ?? 0,
    }
    instances.set(instance.id, instance)
  }
  for (const [id, byHealth] of Object.entries(json.pristine)) {
    const levels = byId.get(id)?.levels.length ?? 0
    for (const [health, sources] of Object.entries(byHealth)) {
      // One state for all: states are never changed in place.
      const state = initialState(levels, health as Health)
      for (const source of sources) add({ rule: id, source, state })
    }
  }
  for (const one of json.instances) add(one)
  const parts: EngineParts = {
    ...emptyParts(),
    now: json.now,
    bootedAt: json.bootedAt,
    rulesHash: json.rulesHash,
    maxInhibitMs,
    rules,
    tags,
    instances,
    edges: new Map(json.edges),
    inhibits: Inhibits.from(json.inhibits),
    selfInhibits: new Map(json.selfInhibits),
    answers: new Map(json.answers),
  }
  return { engine: new AlarmEngine(parts), files: json.files }
}

function parse(bytes: Uint8Array): SnapshotJson | null {
  try {
    const json = JSON.parse(new TextDecoder().decode(bytes)) as SnapshotJson
    return json.version === snapshotVersion ? json : null
  } catch {
    return null
  }
}

function decodeColumns(json: SnapshotJson): TagColumns {
  const tags = new TagColumns()
  for (const tag of json.tags) tags.add(tag)
  const bytes = new Uint8Array(Buffer.from(json.columns.cells, 'base64'))
  tags.cells.set(new Float64Array(bytes.buffer, 0, json.tags.length * stride))
  tags.quality.set(Buffer.from(json.columns.quality, 'base64'))
  tags.reason.set(Buffer.from(json.columns.reason, 'base64'))
  return tags
}
