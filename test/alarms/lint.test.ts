import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compileRules } from '@penstock/core/alarms/compile.ts'
import { formatDuration, parseDuration } from '@penstock/core/alarms/duration.ts'
import { alarmLimits, crossesLimit } from '@penstock/core/alarms/limits.ts'
import { type KnownTag, lintAgainstTags, lintRules } from '@penstock/core/alarms/lint.ts'
import { compilePatterns } from '@penstock/core/alarms/pattern.ts'
import { loadRuleFile, type RuleFile, RuleFileSchema } from '@penstock/core/alarms/rule-file.ts'
import { formatPair } from '@penstock/core/alarms/text.ts'
import { parseConfig } from '@penstock/core/runtime/config-file.ts'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'

const demo = join(import.meta.dirname, '../../demo')

type Change = (rule: RuleFile['rules'][number] & Record<string, unknown>) => void
const good = () => loadRuleFile(join(import.meta.dirname, 'golden/rules.yaml')).file

function problemsOf(id: string, change: Change): string[] {
  const file = structuredClone(good())
  const rule = file.rules.find(one => one.id === id)
  if (rule) change(rule as Parameters<Change>[0])
  return lintRules(file)
    .filter(({ severity }) => severity === 'error')
    .map(({ message }) => message)
}

describe('the lint of rules', () => {
  it('has nothing against the rules of the tests and of the demonstration', () => {
    expect(lintRules(good())).toEqual([])
    expect(loadRuleFile(join(demo, 'rules.yaml')).warnings).toEqual([])
  })

  it.each<[string, string, Change, string]>([
    [
      'set points in a wrong order',
      'tank.level',
      rule => {
        Object.assign(rule.levels?.[0] ?? {}, { at: '>= 85' })
      },
      'order LL < L < H < HH',
    ],
    [
      'a deadband that reaches the next level',
      'tank.level',
      rule => {
        Object.assign(rule.levels?.[0] ?? {}, { deadband: 5 })
      },
      'reaches the set point of H',
    ],
    [
      'a deadband of half the way to the other side',
      'tank.level',
      rule => {
        Object.assign(rule.levels?.[1] ?? {}, { deadband: 40 })
      },
      'half of the distance',
    ],
    [
      'two levels at one set point',
      'tank.level',
      rule => {
        Object.assign(rule.levels?.[0] ?? {}, { at: '>= 90' })
      },
      'same set point',
    ],
    [
      'a worse level with a lower priority',
      'cl2.leak',
      rule => {
        Object.assign(rule.levels?.[1] ?? {}, { priority: 'low' })
      },
      'lower priority',
    ],
    [
      'no consequence',
      'cl2.leak',
      rule => {
        delete rule.response?.consequence
      },
      'response.consequence',
    ],
    [
      'no action',
      'cl2.leak',
      rule => {
        delete rule.response?.action
      },
      'response.action',
    ],
    [
      'placeholders that differ',
      'cl2.leak',
      rule => {
        rule.text.en = 'chlorine {value}'
      },
      'same placeholders',
    ],
    [
      'an unknown placeholder',
      'cl2.leak',
      rule => {
        rule.text = { zh: '{wert}', en: '{wert}' }
      },
      'unknown placeholder {wert}',
    ],
    [
      '告警',
      'cl2.leak',
      rule => {
        rule.text.zh += '告警'
      },
      'write 报警',
    ],
    [
      'no unit',
      'cl2.leak',
      rule => {
        delete rule.unit
      },
      'needs "unit"',
    ],
    [
      'an unknown unit',
      'cl2.leak',
      rule => {
        rule.unit = 'PPM'
      },
      'not a known unit',
    ],
    [
      'auto_ack above medium',
      'cl2.leak',
      rule => {
        rule.auto_ack = true
      },
      'acknowledged by a person',
    ],
    [
      'a pattern of the wrong form',
      'cl2.leak',
      rule => {
        rule.for_each = { tag: '*/cl2-*' }
      },
      'site/device/tag',
    ],
    [
      'two kinds of sources',
      'cl2.leak',
      rule => {
        rule.for_each = { tag: '*/*/*', device: '*/*' }
      },
      'exactly one',
    ],
    [
      'an evaluator of a later version',
      'cl2.leak',
      rule => {
        rule.at = 'edge'
      },
      'evaluated at the gateway',
    ],
    [
      'set points in a stale rule',
      'meter.comm-loss',
      rule => {
        Object.assign(rule.levels?.[0] ?? {}, { at: '>= 1' })
      },
      'means nothing in a stale rule',
    ],
    [
      'a stale rule without a time',
      'edge.offline',
      rule => {
        delete rule.after
      },
      'needs "after"',
    ],
    [
      'an on-delay that eats the time to respond',
      'tank.level',
      rule => {
        if (rule.response) rule.response.time_to_respond = '15s'
      },
      'more than half',
    ],
    [
      'an id that is kept',
      'cl2.leak',
      rule => {
        rule.id = 'system.x'
      },
      'kept for built-in',
    ],
    [
      'an id twice',
      'cl2.leak',
      rule => {
        rule.id = 'cl2.fault'
      },
      'stands twice',
    ],
  ])('refuses %s', (_, id, change, message) => {
    expect(problemsOf(id, change).join('\n')).toContain(message)
  })

  it('names unknown keys and misses with their place in the file', () => {
    const text =
      'version: 1\nrules:\n  - id: a\n    kind: limit\n    for_each: { tag: "*/*/*" }\n    unit: ppm\n    dead_band: 1\n    levels: [{ name: H, at: "> x", priority: high }]\n    text: { zh: 一 }\n'
    const check = () => parseConfig('rules.yaml', text, RuleFileSchema)
    expect(check).toThrow(/rules.yaml:7:5: unknown key "dead_band"/)
    expect(check).toThrow(/rules.yaml:9:11: "en" is missing/)
    expect(check).toThrow(/rules.yaml:8:\d+: "> x" is not allowed/)
  })
})

describe('rules against the tags that exist', () => {
  const tag: KnownTag = {
    tag: 's/cl2-1/concentration',
    type: 'Float',
    class: 'alarm',
    unit: 'ppm',
    deadband: 0.02,
    heartbeatMs: 30_000,
    min: 0,
    max: 10,
  }
  const said = (change: Partial<KnownTag>) =>
    lintAgainstTags(good(), [{ ...tag, ...change }])
      .filter(({ severity }) => severity === 'error')
      .map(({ message }) => message)
      .join('\n')

  it.each<[string, Partial<KnownTag>, string]>([
    ['another unit', { unit: 'mg/m3' }, 'compared, never converted'],
    ['a set point outside the range', { max: 0.5 }, 'could never be reached'],
    ['a deadband of half the hysteresis', { deadband: 0.025 }, 'half of the alarm'],
    ['a heartbeat of more than half of max_gap', { heartbeatMs: 151_000 }, 'more than half of max_gap'],
    ['a total', { class: 'total' }, 'needs a measured value'],
  ])('refuses %s', (_, change, message) => {
    expect(said({})).toBe('')
    expect(said(change)).toContain(message)
  })

  it('has nothing against the demonstration', () => {
    const tags = ['e01.yaml', 'e02.yaml'].flatMap(name =>
      (
        parse(readFileSync(join(demo, name), 'utf8')).devices as { site: string; id: string; profile: string }[]
      ).flatMap(({ site, id, profile }) => {
        const { tags: list } = parse(readFileSync(join(demo, `../edge/profiles/${profile}.yaml`), 'utf8')) as {
          tags: Record<string, never>[]
        }
        return list.map(
          one =>
            ({
              type: 'Float',
              unit: null,
              deadband: null,
              heartbeatMs: 60_000,
              min: null,
              max: null,
              ...one,
              tag: `${site}/${id}/${one.name}`,
            }) as unknown as KnownTag,
        )
      }),
    )
    expect(tags.length).toBeGreaterThan(50)
    expect(lintAgainstTags(loadRuleFile(join(demo, 'rules.yaml')).file, tags)).toEqual([])
  })
})

describe('the small words of the rule language', () => {
  it('reads and writes durations', () => {
    expect(['0s', '250ms', '30s', '1h30m', '7d', '1.5s', '5', 's', '-1s'].map(parseDuration)).toEqual([
      0,
      250,
      30_000,
      5_400_000,
      604_800_000,
      1_500,
      null,
      null,
      null,
    ])
    expect([0, 999, 30_000, 5_400_000, 90_061_000].map(formatDuration)).toEqual([
      '0ms',
      '999ms',
      '30s',
      '1h30m',
      '1d1h',
    ])
  })

  it('keeps * inside its segment and takes everything else as it is', () => {
    const matches = compilePatterns(['*/cl2-*/concentration', 'a.b/x/y'])
    expect(
      [
        's/cl2-1/concentration',
        's/cl2-/concentration',
        's/t/cl2-1/concentration',
        's/cl2-1/x/concentration',
        'a.b/x/y',
        'aXb/x/y',
      ].map(matches),
    ).toEqual([true, true, false, false, true, false])
  })

  it('shows value and limit with as many digits as it takes to tell them apart', () => {
    expect(formatPair(0.30000001192092896, 0.25)).toEqual(['0.3', '0.25'])
    expect(formatPair(0.3000004, 0.3)).toEqual(['0.3000004', '0.3'])
    expect(formatPair(Math.fround(0.3), 0.3)).toEqual(['0.3', '0.3'])
    expect(formatPair(1234567.5, 10)).toEqual(['1234568', '10'])
    expect(formatPair(null, 0.3)).toEqual(['–', '0.3'])
  })

  it('gives an edge sorted set points and reset points without the noise of binary fractions', () => {
    const { rules } = compileRules([good()])
    const { limits } = alarmLimits(rules, ['s/cl2-1/concentration', 's/level-1/level', 's/fm-1/flow'])
    expect([...limits]).toEqual([
      ['s/cl2-1/concentration', [0.25, 0.3, 0.5, 0.6]],
      ['s/level-1/level', [5, 6, 10, 12, 88, 90, 94, 95]],
    ])
    expect([crossesLimit([0.3], 0.28, 0.31), crossesLimit([0.3], 0.3, 0.31), crossesLimit([0.3], 0.31, 0.35)]).toEqual([
      true,
      true,
      false,
    ])
  })

  it('runs every golden file of this folder', () => {
    expect(readdirSync(join(import.meta.dirname, 'golden')).sort()).toEqual([
      'chlorine.yaml',
      'rules.yaml',
      'sources.yaml',
      'tank.yaml',
    ])
  })
})
