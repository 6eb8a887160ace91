import { createHash } from 'node:crypto'
import type { Reason } from '../reading.ts'
import { parseDuration } from './duration.ts'
import { compilePatterns } from './pattern.ts'
import type { Rule, RuleFile } from './rule-file.ts'
import { type Priority, severityOf } from './state.ts'

export interface CompiledLevel {
  readonly name: string
  readonly title: { readonly zh: string; readonly en: string } | null
  readonly side: 'high' | 'low'
  /** 1 is the mildest of its side */
  readonly rank: number
  readonly priority: Priority
  readonly latch: boolean
  /** set point and the value at which it returns; null for kinds without one */
  readonly limit: number | null
  readonly reset: number | null
  readonly inclusive: boolean
  readonly onDelayMs: number
  readonly offDelayMs: number
  /** silence of a stale rule */
  readonly afterMs: number
}

export type SourceKind = 'tag' | 'device' | 'edge'

/** A rule as the engine uses it: defaults filled in, numbers instead of texts. */
export interface CompiledRule {
  readonly id: string
  readonly kind: 'limit' | 'quality' | 'stale' | 'inhibit'
  /** who evaluates the condition; transitions of an edge take the place of samples in the same table */
  readonly at: 'gateway' | 'edge'
  /** changes when anything changes that decides about an alarm; texts do not */
  readonly hash: string
  readonly source: SourceKind
  readonly matches: (source: string) => boolean
  readonly unit: string | null
  readonly levels: readonly CompiledLevel[]
  readonly onUncertain: 'raise_only' | 'use' | 'as_bad'
  readonly maxGapMs: number
  readonly latenessMs: number
  readonly offAfterGood: number
  /** quality rules: reasons that count, null for the usual ones */
  readonly reasons: ReadonlySet<Reason> | null
  readonly countsUncertain: boolean
  readonly autoAck: boolean
  readonly route: string | null
  readonly text: { readonly zh: string; readonly en: string }
  readonly response: NonNullable<Rule['response']> | null
}

export const defaultLatenessMs = 5_000
export const defaultMaxGapMs = 5 * 60_000
export const defaultMaxInhibitMs = 4 * 3_600_000

const ms = (text: string | undefined, fallback: number): number =>
  (text === undefined ? null : parseDuration(text)) ?? fallback

/** Set point minus deadband without the noise of binary fractions: 0.33 − 0.05 is 0.28. */
const exact = (value: number): number => Number(value.toPrecision(12))

/** The set point of `">= 0.33"`; null when the text is none. */
export function parseSetPoint(text: string): { operator: '>=' | '>' | '<=' | '<'; limit: number } | null {
  const match = /^(>=|>|<=|<)\s*(-?\d+(?:\.\d+)?)$/.exec(text)
  if (!match) return null
  const [, operator, number] = match
  if (operator !== '>=' && operator !== '>' && operator !== '<=' && operator !== '<') return null
  return { operator, limit: Number(number) }
}

export interface CompiledRules {
  readonly rules: readonly CompiledRule[]
  readonly maxInhibitMs: number
}

/** Compiles checked rule files; the defaults of a file hold for its own rules. */
export function compileRules(files: readonly RuleFile[]): CompiledRules {
  const limits = files.flatMap(file => (file.inhibit ? [ms(file.inhibit.max, defaultMaxInhibitMs)] : []))
  return {
    rules: files.flatMap(file => file.rules.map(rule => compileRule(rule, file.defaults ?? {}))),
    maxInhibitMs: limits.length > 0 ? Math.min(...limits) : defaultMaxInhibitMs,
  }
}

function compileRule(rule: Rule, defaults: NonNullable<RuleFile['defaults']>): CompiledRule {
  const onDelay = ms(rule.on_delay ?? defaults.on_delay, 0)
  const offDelay = ms(rule.off_delay ?? defaults.off_delay, 0)
  const { tag, device, edge } = rule.for_each
  const decides = {
    id: rule.id,
    kind: rule.kind,
    at: rule.at ?? 'gateway',
    source: tag !== undefined ? ('tag' as const) : device !== undefined ? ('device' as const) : ('edge' as const),
    unit: rule.unit ?? null,
    levels: compileLevels(rule, onDelay, offDelay),
    onUncertain: rule.on_uncertain ?? defaults.on_uncertain ?? 'raise_only',
    maxGapMs: ms(rule.max_gap ?? defaults.max_gap, defaultMaxGapMs),
    latenessMs: ms(defaults.lateness, defaultLatenessMs),
    offAfterGood: rule.off_after_good ?? 1,
    countsUncertain: (rule.statuses ?? []).some(status => status !== 'bad'),
    autoAck: rule.auto_ack ?? false,
  }
  const hash = createHash('sha256')
    .update(JSON.stringify([decides, rule.reasons ?? null]))
    .digest('hex')
    .slice(0, 16)
  return {
    ...decides,
    hash,
    matches: compilePatterns(tag ?? device ?? edge ?? []),
    reasons: rule.reasons ? new Set(rule.reasons) : null,
    route: rule.route ?? null,
    text: rule.text,
    response: rule.response ?? null,
  }
}

function compileLevels(rule: Rule, onDelay: number, offDelay: number): CompiledLevel[] {
  if (rule.kind === 'quality') return qualityLevels(rule, onDelay, offDelay)
  const given = rule.levels ?? [
    { name: 'LOST', priority: rule.priority ?? 'medium', ...(rule.after && { after: rule.after }) },
  ]
  const levels = given.map(level => {
    const point = 'at' in level && level.at !== undefined ? parseSetPoint(level.at) : null
    const side = point?.operator.startsWith('<') ? ('low' as const) : ('high' as const)
    const deadband = ('deadband' in level ? level.deadband : undefined) ?? 0
    return {
      name: level.name,
      title: ('title' in level ? level.title : undefined) ?? null,
      side,
      priority: level.priority,
      latch: ('latch' in level ? level.latch : undefined) ?? rule.latch ?? false,
      limit: point?.limit ?? null,
      reset: point ? exact(side === 'high' ? point.limit - deadband : point.limit + deadband) : null,
      inclusive: point?.operator.length === 2,
      // A stale rule waits by its own clock; only an edge tells the moment in which it went silent.
      onDelayMs:
        rule.kind === 'limit'
          ? ms('on_delay' in level ? level.on_delay : undefined, onDelay)
          : rule.for_each.edge === undefined
            ? 0
            : ms(level.after ?? rule.after, 0),
      offDelayMs: ms('off_delay' in level ? level.off_delay : undefined, offDelay),
      afterMs: ms(level.after ?? rule.after, 0),
    }
  })
  const depth = (level: (typeof levels)[number]) => (level.side === 'low' ? -1 : 1) * (level.limit ?? level.afterMs)
  return levels.map(level => ({
    ...level,
    rank: levels.filter(other => other.side === level.side && depth(other) <= depth(level)).length,
  }))
}

function qualityLevels(rule: Rule, onDelayMs: number, offDelayMs: number): CompiledLevel[] {
  const common = {
    title: null,
    side: 'high' as const,
    priority: rule.priority ?? 'medium',
    latch: rule.latch ?? false,
    limit: null,
    reset: null,
    inclusive: true,
    offDelayMs,
    afterMs: 0,
  }
  const over = (rule.statuses ?? ['bad' as const]).flatMap(status => (status === 'bad' ? [] : [status.uncertain_over]))
  return [
    ...over.map(time => ({ ...common, name: 'UNCERTAIN', rank: 1, onDelayMs: ms(time, 0) })),
    { ...common, name: 'BAD', rank: 2, onDelayMs },
  ]
}

export const worstPriority = (priorities: Iterable<Priority>): Priority | null => {
  let worst: Priority | null = null
  for (const priority of priorities) if (!worst || severityOf[priority] > severityOf[worst]) worst = priority
  return worst
}

/** `rule@source`, with `:` instead of `/`, so that it can stand in an address: `cl2.leak@waterworks:cl2-1:concentration`. */
export const alarmId = (rule: string, source: string): string => `${rule}@${source.replaceAll('/', ':')}`
