import { type Static, Type } from 'typebox'
import { parseDuration } from './duration.ts'
import { AlarmEngine } from './engine.ts'
import { parseSeries } from './golden-series.ts'
import type { EngineInput } from './input.ts'
import type { JournalRecord } from './journal-record.ts'
import type { RuleFile } from './rule-file.ts'
import { decodeSnapshot, encodeSnapshot } from './snapshot.ts'
import { viewsOf } from './view.ts'

const closed = { additionalProperties: false } as const
const Time = Type.String({ description: 'time after the start, such as 90s' })

export const GoldenSchema = Type.Object(
  {
    suite: Type.String(),
    rules: Type.Array(Type.String(), { description: 'rule files, relative to this file' }),
    start: Type.String({ description: 'date and time of second 0, with its zone' }),
    tests: Type.Array(
      Type.Object(
        {
          name: Type.String(),
          tags: Type.Record(Type.String(), Type.String(), { description: 'short name → tag site/device/tag' }),
          series: Type.Array(
            Type.Object({ tag: Type.String(), every: Time, values: Type.String(), from: Type.Optional(Time) }, closed),
            { default: [] },
          ),
          commands: Type.Array(
            Type.Object(
              {
                at: Time,
                do: Type.Union([
                  Type.Literal('ack'),
                  Type.Literal('reset'),
                  Type.Literal('inhibit'),
                  Type.Literal('end-inhibit'),
                  Type.Literal('edge-offline'),
                  Type.Literal('edge-online'),
                  Type.Literal('device-offline'),
                  Type.Literal('down'),
                ]),
                alarm: Type.Optional(Type.String()),
                occ: Type.Optional(Type.Integer()),
                ann: Type.Optional(Type.Integer()),
                user: Type.Optional(Type.String()),
                device: Type.Optional(Type.String()),
                edge: Type.Optional(Type.String()),
                until: Type.Optional(Time),
                refused: Type.Optional(Type.String()),
              },
              closed,
            ),
            { default: [] },
          ),
          expect: Type.Array(
            Type.Object(
              {
                at: Time,
                alarm: Type.String(),
                state: Type.Optional(Type.String()),
                level: Type.Optional(Type.String()),
                priority: Type.Optional(Type.String()),
                health: Type.Optional(Type.String()),
                occ: Type.Optional(Type.Integer()),
                late: Type.Optional(Type.Integer({ description: 'late findings waiting' })),
              },
              closed,
            ),
            { default: [] },
          ),
          journal: Type.Array(Type.Array(Type.String()), {
            description: 'every line, in order: time, kind, then words that the record must show',
          }),
        },
        closed,
      ),
    ),
  },
  { ...closed, title: 'Penstock golden timelines' },
)
export type GoldenFile = Static<typeof GoldenSchema>
export type GoldenTest = GoldenFile['tests'][number]

/** How a timeline is run; the journal must be the same under all of them. */
export type Variant = 'plain' | 'duplicates' | 'restarts' | 'ticks'
export const variants: readonly Variant[] = ['plain', 'duplicates', 'restarts', 'ticks']

const quietMs = 20_000

interface Planned {
  readonly at: number
  readonly input: EngineInput
  readonly refused?: string
}

/**
 * Runs one timeline against rules; returns what is wrong with it, in words, one line each. Every journal record that is not
 * listed is a failure. Works on any rule file: users test theirs with it.
 */
export function runGolden(
  test: GoldenTest,
  rules: readonly RuleFile[],
  start: number,
  variant: Variant = 'plain',
): string[] {
  const problems: string[] = []
  const plan = planOf(test, rules, start, problems)
  let engine = new AlarmEngine()
  const journal: JournalRecord[] = []
  let position = 0
  const apply = (input: EngineInput) => {
    journal.push(...engine.apply(position++, input))
    if (variant !== 'restarts') return
    const restored = decodeSnapshot(encodeSnapshot(engine, rules))
    if (restored) engine = restored.engine
    else problems.push(`the snapshot at position ${position} cannot be read`)
  }
  const downs = test.commands.flatMap(({ do: what, at, until }) =>
    what === 'down' && until !== undefined ? [{ from: start + time(at), to: start + time(until) }] : [],
  )
  const passTo = (until: number) => {
    for (;;) {
      const step = variant === 'ticks' ? engine.now + 700 : engine.now + quietMs
      const due = Math.max(engine.now, Math.min(engine.nextDue() ?? Number.POSITIVE_INFINITY, step))
      if (engine.now === 0 || due > until || downs.some(({ from, to }) => due > from && due < to)) return
      apply({ kind: 'tick', at: due })
      if (due === until) return
    }
  }
  const expectations = [...test.expect].sort((a, b) => time(a.at) - time(b.at))
  const checkUpTo = (until: number) => {
    while (expectations.length > 0 && start + time(expectations[0]?.at ?? '') < until) {
      const next = expectations.shift()
      if (!next) return
      passTo(start + time(next.at))
      problems.push(...check(engine, next, test))
    }
  }
  for (const { at, input, refused } of plan) {
    checkUpTo(at)
    passTo(at)
    const before = journal.length
    apply(input)
    if (input.kind === 'readings' && variant === 'duplicates') apply(input)
    const said = journal.slice(before).find(record => record.kind === 'REFUSE')?.reason ?? null
    if (input.kind === 'command' && (refused ?? null) !== said) {
      problems.push(
        `${shown(at - start)} ${input.command.type}: expected ${refused ?? 'it to be carried out'}, got ${said ?? 'carried out'}`,
      )
    }
  }
  const last = plan.at(-1)?.at ?? start
  checkUpTo(Number.POSITIVE_INFINITY)
  passTo(last + quietMs)
  return [
    ...problems,
    ...compare(
      test,
      journal.filter(record => record.kind !== 'CONFIG'),
      start,
    ),
  ]
}

function planOf(test: GoldenTest, rules: readonly RuleFile[], start: number, problems: string[]): Planned[] {
  const plan: Planned[] = [{ at: start, input: { kind: 'rules', at: start, hash: 'golden', files: rules } }]
  const tagOf = (name: string) => test.tags[name] ?? name
  for (const { tag, every, values, from } of test.series) {
    const samples = parseSeries(values, tagOf(tag), start + (from ? time(from) : 0), time(every))
    for (const { arrives, lane, reading } of samples) {
      plan.push({ at: arrives, input: { kind: 'readings', lane, at: arrives, skewMs: 0, readings: [reading] } })
    }
  }
  for (const [index, command] of test.commands.entries()) {
    const at = start + time(command.at)
    const tags = Object.values(test.tags)
    const common = { kind: 'command' as const, at, commandId: `golden-${index}`, actor: command.user ?? 'user' }
    const refused = command.refused === undefined ? {} : { refused: command.refused }
    const alarm = aliased(command.alarm ?? '', test)
    const { occ = 1, ann = 1, device = '' } = command
    switch (command.do) {
      case 'ack':
        plan.push({ at, input: { ...common, command: { type: 'acknowledge', alarm, occ, ann } }, ...refused })
        break
      case 'reset':
        plan.push({ at, input: { ...common, command: { type: 'reset', alarm, occ } }, ...refused })
        break
      case 'inhibit':
        plan.push({
          at,
          input: {
            ...common,
            command: { type: 'inhibit', device, until: start + time(command.until ?? ''), reason: 'calibration' },
          },
          ...refused,
        })
        break
      case 'end-inhibit':
        plan.push({ at, input: { ...common, command: { type: 'end-inhibit', device } }, ...refused })
        break
      case 'edge-offline':
        plan.push({ at, input: { kind: 'lost', at, reason: 'edge-offline', tags } })
        plan.push({ at, input: { kind: 'edge', at, edge: command.edge ?? 'g/e', online: false } })
        break
      case 'edge-online':
        plan.push({ at, input: { kind: 'edge', at, edge: command.edge ?? 'g/e', online: true } })
        break
      case 'device-offline':
        plan.push({
          at,
          input: { kind: 'lost', at, reason: 'device-offline', tags: tags.filter(tag => tag.startsWith(`${device}/`)) },
        })
        break
      case 'down':
        // Nothing reaches the engine from `at` until then; what arrived meanwhile is taken in afterwards.
        if (command.until === undefined) problems.push('"down" needs "until"')
        else plan.push({ at: start + time(command.until), input: { kind: 'tick', at: start + time(command.until) } })
    }
  }
  const downs = test.commands.filter(({ do: what }) => what === 'down')
  const awake = plan.filter(
    ({ at, input }) =>
      input.kind === 'tick' || !downs.some(down => at > start + time(down.at) && at < start + time(down.until ?? '')),
  )
  return awake
    .map((item, index) => ({ item, index }))
    .sort((a, b) => a.item.at - b.item.at || a.index - b.index)
    .map(({ item }) => item)
}

/** `cl2.leak@t` with `t` a short name of the test. */
function aliased(alarm: string, test: GoldenTest): string {
  const [rule = '', source = ''] = alarm.split('@')
  return `${rule}@${(test.tags[source] ?? source).replaceAll('/', ':')}`
}

function check(engine: AlarmEngine, expected: GoldenTest['expect'][number], test: GoldenTest): string[] {
  const id = aliased(expected.alarm, test)
  const instance = engine.instance(id)
  if (!instance) return expected.state === 'NORMAL' ? [] : [`${expected.at} ${expected.alarm}: there is no such alarm`]
  const [view, ...late] = viewsOf(engine, instance)
  if (!view) return []
  const found: Readonly<Record<string, unknown>> = { ...view, late: late.length }
  return (['state', 'level', 'priority', 'health', 'occ', 'late'] as const).flatMap(key =>
    expected[key] === undefined || expected[key] === found[key]
      ? []
      : [`${expected.at} ${expected.alarm}: ${key} is ${String(found[key])}, expected ${expected[key]}`],
  )
}

function compare(test: GoldenTest, journal: readonly JournalRecord[], start: number): string[] {
  const problems: string[] = []
  for (let index = 0; index < Math.max(journal.length, test.journal.length); index++) {
    const record = journal[index]
    const line = test.journal[index]
    const is = record ? `${shown(record.at - start)} ${[...wordsOf(record)].join(' ')}` : 'nothing'
    if (!record || !line) {
      problems.push(`journal line ${index + 1}: expected ${line ? line.join(' ') : 'nothing'}, got ${is}`)
      continue
    }
    const [at = '', ...words] = line
    const has = wordsOf(record)
    if (time(at) !== record.at - start || !words.every(word => has.has(word))) {
      problems.push(`journal line ${index + 1}: expected ${line.join(' ')}, got ${is}`)
    }
  }
  return problems
}

function wordsOf(record: JournalRecord): Set<string> {
  const words = [
    record.kind,
    record.fromLevel ? `${record.fromLevel}->${record.level}` : record.level,
    record.after,
    record.rule,
    record.cause,
    record.actor,
    record.reason,
    record.occ === null ? null : `occ=${record.occ}`,
    record.ann === null ? null : `ann=${record.ann}`,
    record.value === null ? null : `value=${record.value}`,
    record.late ? 'late' : null,
    record.announce ? 'announced' : 'silent',
  ]
  return new Set(words.filter(word => word !== null))
}

const time = (text: string): number => parseDuration(text) ?? Number.NaN
const shown = (ms: number): string => `${ms / 1_000}s`
