import type { TagDescription } from '../description.ts'
import { unitNames } from '../units.ts'
import { type CompiledLevel, compileRules, parseSetPoint } from './compile.ts'
import { parseDuration } from './duration.ts'
import type { Rule, RuleFile } from './rule-file.ts'
import { placeholderNames, placeholdersOf } from './text.ts'

export interface LintProblem {
  /** where in the rule file */
  readonly path: readonly (string | number)[]
  readonly severity: 'error' | 'warning'
  /** what is wrong and what to write instead */
  readonly message: string
}

type Report = (path: readonly (string | number)[], message: string, severity?: LintProblem['severity']) => void

/** What a schema cannot say about rules. Needs no knowledge of the tags. */
export function lintRules(file: RuleFile): LintProblem[] {
  const problems: LintProblem[] = []
  const seen = new Map<string, number>()
  for (const [index, rule] of file.rules.entries()) {
    const report: Report = (path, message, severity = 'error') =>
      problems.push({ path: ['rules', index, ...path], severity, message })
    if (seen.has(rule.id))
      report(['id'], `the rule "${rule.id}" stands twice; a rule id is never used for another rule`)
    seen.set(rule.id, index)
    if (rule.id.startsWith('system.'))
      report(['id'], 'ids that begin with "system." are kept for built-in alarms; rename it')
    lintShape(rule, report)
    lintLevels(rule, file, report)
    lintTexts(rule, report)
  }
  if (file.rules.length > 0 && !file.rules.some(rule => rule.for_each.edge !== undefined)) {
    problems.push({
      path: ['rules'],
      severity: 'warning',
      message:
        'no rule watches the edges (kind: stale, for_each: { edge: "*/*" }); a dead edge would raise no alarm of its own',
    })
  }
  return problems
}

function lintShape(rule: Rule, report: Report): void {
  const sources = Object.keys(rule.for_each)
  if (sources.length !== 1) report(['for_each'], 'name exactly one of tag, device, edge')
  const segments = { tag: 3, device: 2, edge: 2 } as const
  for (const kind of ['tag', 'device', 'edge'] as const) {
    for (const pattern of [rule.for_each[kind] ?? []].flat()) {
      if (pattern.split('/').length !== segments[kind]) {
        const form = { tag: 'site/device/tag', device: 'site/device', edge: 'group/edge' }[kind]
        report(['for_each', kind], `the pattern "${pattern}" has not the form ${form}`)
      }
    }
  }
  if (rule.at === 'edge') report(['at'], 'rules are evaluated at the gateway in this version; write "at: gateway"')
  if (rule.kind !== 'stale' && rule.for_each.tag === undefined) {
    report(['for_each'], `a ${rule.kind} rule watches tags; write for_each: { tag: ... }`)
  }
  const foreign: Readonly<Record<Rule['kind'], readonly (keyof Rule)[]>> = {
    limit: ['statuses', 'reasons', 'after', 'off_after_good', 'priority', 'latch'],
    quality: ['levels', 'after', 'off_after_good', 'unit', 'on_uncertain'],
    stale: ['statuses', 'reasons', 'unit', 'on_uncertain', 'on_delay'],
  }
  for (const key of foreign[rule.kind]) {
    if (rule[key] !== undefined) report([key], `"${key}" means nothing in a ${rule.kind} rule; remove it`)
  }
  if (rule.kind === 'limit') {
    if (!rule.levels) report([], 'a limit rule needs "levels"')
    if (rule.unit === undefined) report([], 'a limit rule needs "unit", the unit of its set points ("" for none)')
    else if (rule.unit !== '' && !unitNames.some(unit => unit === rule.unit)) {
      report(['unit'], `"${rule.unit}" is not a known unit; write one of: ${unitNames.join(', ')}`)
    }
  }
  if (rule.kind === 'quality' && rule.priority === undefined) report([], 'a quality rule needs "priority"')
  if (rule.kind === 'stale') {
    if (rule.for_each.tag !== undefined || rule.for_each.device !== undefined || rule.for_each.edge !== undefined) {
      const bare = !rule.levels && rule.after === undefined
      if (bare) report([], 'a stale rule needs "after", or levels with "after"')
      if (!rule.levels && rule.priority === undefined) report([], 'a stale rule without levels needs "priority"')
    }
  }
}

function lintLevels(rule: Rule, file: RuleFile, report: Report): void {
  const names = (rule.levels ?? []).map(level => level.name)
  for (const [index, level] of (rule.levels ?? []).entries()) {
    if (names.indexOf(level.name) !== index) report(['levels', index, 'name'], `the level "${level.name}" stands twice`)
    if (rule.kind === 'limit') {
      if (level.at === undefined) report(['levels', index], 'a level of a limit rule needs "at", such as ">= 0.33"')
      if (level.after !== undefined) report(['levels', index, 'after'], '"after" belongs to stale rules; remove it')
    } else {
      if (level.at !== undefined)
        report(['levels', index, 'at'], `"at" means nothing in a ${rule.kind} rule; remove it`)
      if (level.deadband !== undefined) {
        report(['levels', index, 'deadband'], `"deadband" means nothing in a ${rule.kind} rule; remove it`)
      }
      if (level.after === undefined && rule.after === undefined) report(['levels', index], 'the level needs "after"')
    }
    if (rule.auto_ack && (level.priority === 'critical' || level.priority === 'high')) {
      report(['auto_ack'], `an alarm of priority ${level.priority} must be acknowledged by a person; remove auto_ack`)
    }
  }
  if (rule.auto_ack && (rule.priority === 'critical' || rule.priority === 'high')) {
    report(['auto_ack'], `an alarm of priority ${rule.priority} must be acknowledged by a person; remove auto_ack`)
  }
  if (rule.kind === 'limit' && rule.levels?.every(level => level.at !== undefined && parseSetPoint(level.at))) {
    lintSetPoints(rule, compileRules([{ ...file, rules: [rule] }]).rules[0]?.levels ?? [], report)
  }
  const respond = rule.response?.time_to_respond
  if (respond !== undefined && rule.kind === 'limit') {
    const time = parseDuration(respond) ?? 0
    for (const level of compileRules([{ ...file, rules: [rule] }]).rules[0]?.levels ?? []) {
      if (level.onDelayMs > time / 2) {
        report(
          ['response', 'time_to_respond'],
          `the on-delay of level ${level.name} eats more than half of it; shorten the delay`,
        )
      }
    }
  }
}

function lintSetPoints(rule: Rule, levels: readonly CompiledLevel[], report: Report): void {
  for (const [index, level] of levels.entries()) {
    const { limit, reset } = level
    if (limit === null || reset === null) continue
    const deadband = Math.abs(limit - reset)
    if (deadband === 0) {
      report(
        ['levels', index],
        `level ${level.name} has no deadband; noise at the set point will make it chatter`,
        'warning',
      )
    }
    for (const other of levels) {
      if (other === level || other.limit === null) continue
      const distance = Math.abs(limit - other.limit)
      if (other.side === level.side && distance === 0) {
        report(['levels', index, 'at'], `levels ${level.name} and ${other.name} have the same set point`)
      } else if (other.side === level.side && deadband >= distance && other.rank < level.rank) {
        report(
          ['levels', index, 'deadband'],
          `the deadband ${deadband} of ${level.name} reaches the set point of ${other.name}; keep it below ${distance}`,
        )
      } else if (other.side !== level.side && level.side === 'high') {
        if (other.limit >= limit) {
          report(['levels', index, 'at'], `the high level ${level.name} must lie above the low level ${other.name}`)
        } else if (deadband >= distance / 2) {
          report(
            ['levels', index, 'deadband'],
            `the deadband ${deadband} of ${level.name} is half of the distance to ${other.name} or more; keep it below ${distance / 2}`,
          )
        }
      }
    }
    // HH must not be milder than H: the worse condition has at least the priority of the milder one.
    const milder = levels.find(other => other.side === level.side && other.rank === level.rank - 1)
    const order = ['journal', 'low', 'medium', 'high', 'critical']
    if (milder && order.indexOf(milder.priority) > order.indexOf(level.priority)) {
      report(['levels', index, 'priority'], `level ${level.name} is worse than ${milder.name} but has a lower priority`)
    }
  }
  const names = ['LL', 'L', 'H', 'HH'].flatMap(name => {
    const level = rule.levels?.findIndex(candidate => candidate.name === name) ?? -1
    return level < 0 ? [] : [{ name, index: level, limit: levels[level]?.limit ?? 0 }]
  })
  for (const [place, level] of names.entries()) {
    const next = names[place + 1]
    if (next && level.limit >= next.limit) {
      report(
        ['levels', next.index, 'at'],
        `set points must rise in the order LL < L < H < HH; ${next.name} is not above ${level.name}`,
      )
    }
  }
}

function lintTexts(rule: Rule, report: Report): void {
  const zh = placeholdersOf(rule.text.zh)
  const en = placeholdersOf(rule.text.en)
  for (const name of [...zh, ...en]) {
    if (!placeholderNames.has(name)) {
      report(
        ['text'],
        `unknown placeholder {${name}}; known: ${[...placeholderNames].map(known => `{${known}}`).join(' ')}`,
      )
    }
  }
  if ([...zh].sort().join() !== [...en].sort().join()) {
    report(['text'], 'the Chinese and the English text must use the same placeholders')
  }
  if (rule.text.zh.includes('告警')) report(['text', 'zh'], 'write 报警; 告警 is the word of information technology')
  const alarms = [rule.priority ?? null, ...(rule.levels ?? []).map(level => level.priority)]
  if (alarms.some(priority => priority !== null && priority !== 'journal')) {
    if (!rule.response?.consequence) {
      report(
        [],
        'an alarm needs response.consequence (zh, en): what happens if nobody acts; without it use priority journal',
      )
    }
    if (!rule.response?.action) {
      report(
        [],
        'an alarm needs response.action (zh, en): what the operator has to do; without it use priority journal',
      )
    }
  }
}

/** What the birth of a tag tells and rules must fit; `tag` is `site/device/tag`. */
export type KnownTag = Pick<TagDescription, 'type' | 'class' | 'unit' | 'deadband' | 'heartbeatMs' | 'min' | 'max'> & {
  readonly tag: string
}

/** Checks rules against the tags that exist: units, ranges, deadband of the edge, heartbeat. */
export function lintAgainstTags(file: RuleFile, tags: Iterable<KnownTag>): LintProblem[] {
  const problems: LintProblem[] = []
  const known = [...tags]
  const { rules } = compileRules([file])
  for (const [index, rule] of rules.entries()) {
    const told = new Set<string>()
    const report: Report = (path, message, severity = 'error') => {
      if (told.has(message)) return
      told.add(message)
      problems.push({ path: ['rules', index, ...path], severity, message })
    }
    const matching = known.filter(tag =>
      rule.source === 'tag' ? rule.matches(tag.tag) : rule.source === 'device' && rule.matches(deviceOf(tag.tag)),
    )
    if (matching.length === 0 && rule.source !== 'edge')
      report(['for_each'], 'the pattern matches no known source', 'warning')
    for (const tag of matching) {
      if (rule.kind === 'limit') lintLimitTag(rule.levels, rule.unit, rule.maxGapMs, tag, report)
      for (const [level, { afterMs }] of rule.levels.entries()) {
        if (rule.kind !== 'stale' || rule.source !== 'tag' || afterMs >= 2 * tag.heartbeatMs) continue
        const path = file.rules[index]?.levels ? ['levels', level, 'after'] : ['after']
        report(
          path,
          `${tag.tag} reports only every ${tag.heartbeatMs / 1_000} s when unchanged; "after" must be twice that or more`,
        )
      }
    }
  }
  return problems
}

function lintLimitTag(
  levels: readonly CompiledLevel[],
  unit: string | null,
  maxGapMs: number,
  tag: KnownTag,
  report: Report,
): void {
  if ((unit ?? '') !== (tag.unit ?? '')) {
    report(
      ['unit'],
      `${tag.tag} is in "${tag.unit ?? ''}", the rule in "${unit ?? ''}"; units are compared, never converted`,
    )
  }
  if (tag.class === 'total' || tag.type === 'String') {
    report(
      ['for_each'],
      `${tag.tag} is a ${tag.class === 'total' ? 'total' : 'text'}; a limit rule needs a measured value`,
    )
  }
  if (tag.heartbeatMs > maxGapMs / 2) {
    report(
      ['for_each'],
      `${tag.tag} reports only every ${tag.heartbeatMs / 1_000} s when unchanged, more than half of max_gap (${maxGapMs / 1_000} s); raise max_gap or shorten the heartbeat`,
    )
  }
  for (const [index, { name, limit, reset }] of levels.entries()) {
    if (limit === null || reset === null) continue
    if ((tag.max !== null && limit > tag.max) || (tag.min !== null && limit < tag.min)) {
      report(
        ['levels', index, 'at'],
        `the set point ${limit} of ${name} lies outside the measuring range of ${tag.tag} (${tag.min ?? '-'} to ${tag.max ?? '-'}); it could never be reached`,
      )
    }
    const hysteresis = Math.abs(limit - reset)
    if (tag.deadband !== null && hysteresis > 0 && tag.deadband >= hysteresis / 2) {
      report(
        ['levels', index, 'deadband'],
        `the edge reports ${tag.tag} in steps of ${tag.deadband}, half of the alarm's deadband ${hysteresis} or more; make one smaller or the other larger`,
      )
    }
  }
}

const deviceOf = (tag: string): string => tag.slice(0, tag.lastIndexOf('/'))
