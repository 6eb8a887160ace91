import { type Static, Type } from 'typebox'
import { reasons } from '../reading.ts'
import { type ConfigSource, loadConfig } from '../runtime/config-file.ts'
import { Id, OneOf, Text } from '../runtime/schema-parts.ts'
import { durationPattern } from './duration.ts'
import { type LintProblem, lintRules } from './lint.ts'
import { priorities } from './state.ts'

const closed = { additionalProperties: false } as const

const Duration = (description: string) =>
  Type.String({ pattern: durationPattern, description: `${description}; such as 30s, 5m, 1h30m` })
const Pattern = Type.Union(
  [Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })],
  {
    description: 'a pattern or a list of patterns; * stands for anything inside one segment',
  },
)
const Steps = Type.Object(
  { zh: Type.Array(Type.String(), { minItems: 1 }), en: Type.Array(Type.String(), { minItems: 1 }) },
  { ...closed, description: 'steps in both languages' },
)

export const ruleKinds = ['limit', 'quality', 'stale'] as const

const Level = Type.Object(
  {
    name: Type.String({ pattern: '^[A-Za-z0-9_-]{1,16}$', description: 'short name such as H or HH' }),
    title: Type.Optional(Text('name of the level on screens')),
    at: Type.Optional(
      Type.String({
        pattern: '^(>=|>|<=|<)\\s*-?\\d+(\\.\\d+)?$',
        description: 'set point with its direction, such as ">= 0.33"',
      }),
    ),
    deadband: Type.Optional(
      Type.Number({ minimum: 0, description: 'hysteresis on the way back: ">= 10" with 2 returns below 8' }),
    ),
    after: Type.Optional(Duration('silence of a stale rule')),
    on_delay: Type.Optional(Duration('the condition must last this long; 0s means at once')),
    off_delay: Type.Optional(Duration('the return must last this long')),
    priority: OneOf(priorities, { description: 'priority of the level' }),
    latch: Type.Optional(Type.Boolean({ description: 'stays until reset, also after the return to normal' })),
  },
  closed,
)

export const RuleSchema = Type.Object(
  {
    id: Id('name of the rule, for ever: never used again for another rule'),
    kind: OneOf(ruleKinds, { description: 'what is watched: a value, the quality of a value, silence' }),
    at: Type.Optional(OneOf(['gateway', 'edge'], { description: 'who evaluates the rule' })),
    class: Type.Optional(
      OneOf(['process', 'safety', 'environment', 'compliance', 'instrument', 'system', 'highly_managed'], {
        description: 'condition class of OPC 10000-9',
      }),
    ),
    for_each: Type.Object(
      {
        tag: Type.Optional(Pattern),
        device: Type.Optional(Pattern),
        edge: Type.Optional(Pattern),
      },
      {
        ...closed,
        description: 'sources, one alarm each: tag (site/device/tag), device (site/device) or edge (group/edge)',
      },
    ),
    unit: Type.Optional(Type.String({ description: 'unit of the set points; the tag must have the same' })),
    levels: Type.Optional(Type.Array(Level, { minItems: 1, maxItems: 8, description: 'levels; the worst one counts' })),
    priority: Type.Optional(OneOf(priorities, { description: 'priority of a rule without levels' })),
    latch: Type.Optional(Type.Boolean({ description: 'as in a level, for a rule without levels' })),
    statuses: Type.Optional(
      Type.Array(
        Type.Union([
          Type.Literal('bad'),
          Type.Object({ uncertain_over: Duration('how long uncertain is tolerated') }, closed),
        ]),
        { minItems: 1, description: 'quality rules: bad, and uncertain for longer than a time' },
      ),
    ),
    reasons: Type.Optional(
      Type.Array(OneOf(reasons, { description: 'reason of a reading' }), {
        minItems: 1,
        description: 'quality rules: only these reasons count; default: all but edge-offline and retired',
      }),
    ),
    after: Type.Optional(Duration('stale rules without levels: silence that raises')),
    off_after_good: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, description: 'stale rules: reports in a row that end it' }),
    ),
    on_delay: Type.Optional(Duration('on-delay of levels that have none of their own')),
    off_delay: Type.Optional(Duration('off-delay of levels that have none of their own')),
    on_uncertain: Type.Optional(
      OneOf(['raise_only', 'use', 'as_bad'], { description: 'what an uncertain value may do' }),
    ),
    max_gap: Type.Optional(Duration('a value is held this long without a report, then it is unknown')),
    auto_ack: Type.Optional(Type.Boolean({ description: 'needs no acknowledge; never for high and critical' })),
    route: Type.Optional(Type.String({ description: 'receivers of the messages' })),
    text: Text('what the alarm list says; placeholders in braces'),
    response: Type.Optional(
      Type.Object(
        {
          cause: Type.Optional(Text('likely causes')),
          consequence: Type.Optional(Text('what happens if nobody acts')),
          action: Type.Optional(Steps),
          time_to_respond: Type.Optional(Duration('time until it is too late to act')),
        },
        { ...closed, description: 'what the operator has to do' },
      ),
    ),
  },
  closed,
)
export type Rule = Static<typeof RuleSchema>

export const RuleFileSchema = Type.Object(
  {
    version: Type.Literal(1, { description: 'version of the rule language' }),
    defaults: Type.Optional(
      Type.Object(
        {
          lateness: Type.Optional(
            Duration('a delay ends by the clock alone only this much later, so that data on the way still count'),
          ),
          on_delay: Type.Optional(Duration('on-delay')),
          off_delay: Type.Optional(Duration('off-delay')),
          max_gap: Type.Optional(Duration('a value is held this long without a report')),
          on_uncertain: Type.Optional(OneOf(['raise_only', 'use', 'as_bad'], { description: 'uncertain values' })),
        },
        closed,
      ),
    ),
    inhibit: Type.Optional(
      Type.Object(
        { max: Duration('longest inhibit of a detector') },
        { ...closed, description: 'calibration of detectors' },
      ),
    ),
    rules: Type.Array(RuleSchema, { description: 'alarm rules' }),
  },
  { ...closed, title: 'Penstock alarm rules' },
)
export type RuleFile = Static<typeof RuleFileSchema>

/**
 * Reads and checks a rule file.
 * @throws PenstockError `config-missing`, or `config-invalid` with every problem as file:line:column
 */
export function loadRuleFile(path: string): { file: RuleFile; warnings: readonly LintProblem[]; source: ConfigSource } {
  let warnings: readonly LintProblem[] = []
  const { value, source } = loadConfig(path, RuleFileSchema, {
    check: (file, place) => {
      const problems = lintRules(file)
      for (const problem of problems) if (problem.severity === 'error') place.fail(problem.path, problem.message)
      warnings = problems.filter(problem => problem.severity === 'warning')
    },
  })
  return { file: value, warnings, source }
}
