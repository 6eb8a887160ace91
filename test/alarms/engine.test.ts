import { join } from 'node:path'
import { cell, stride } from '@penstock/core/alarms/columns.ts'
import type { EngineInput } from '@penstock/core/alarms/input.ts'
import { loadRuleFile, type RuleFile } from '@penstock/core/alarms/rule-file.ts'
import { stateName } from '@penstock/core/alarms/state.ts'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { Fold, reading, runs } from './support.ts'

const { file } = loadRuleFile(join(import.meta.dirname, 'golden/rules.yaml'))
const start = Date.parse('2026-03-01T00:00:00+08:00')
const gas = 's/cl2-1/concentration'
const leak = 'cl2.leak@s:cl2-1:concentration'
const level = 's/level-1/level'
const tank = 'tank.level@s:level-1:level'

let fold: Fold
let hash = 0
const now = (): number => fold.engine.now
const read = (value: number | null, tag = gas) =>
  fold.apply({ kind: 'readings', lane: 'current', at: now(), skewMs: 0, readings: [reading(tag, value, now())] })
const pass = (ms: number): void => {
  const end = now() + ms
  fold.passTo(end)
  fold.apply({ kind: 'tick', at: end })
}
const config = (change: (copy: RuleFile) => void) => {
  const copy = structuredClone(file)
  change(copy)
  return fold.apply({ kind: 'rules', at: now(), hash: `h${++hash}`, files: [copy] })
}
const stateOf = (id: string) => {
  const state = fold.engine.instance(id)?.state
  return state && stateName(state)
}
const kinds = (records: readonly { kind: string }[]) => records.map(({ kind }) => kind)
const levelsOf = (copy: RuleFile, id: string) => copy.rules.find(rule => rule.id === id)?.levels ?? []

beforeEach(() => {
  fold = new Fold([file], start)
  pass(1_000)
})

describe('new rules', () => {
  it('that are the same change nothing and leave no trace', () => {
    read(0.4)
    expect(fold.apply({ kind: 'rules', at: now(), hash: fold.engine.rulesHash, files: [file] })).toEqual([])
  })

  it('with another text keep every alarm as it is', () => {
    read(0.4)
    const before = fold.engine.instance(leak)?.state
    expect(kinds(config(copy => Object.assign(copy.rules[0]?.text ?? {}, { zh: '新 {value}' })))).toEqual(['CONFIG'])
    expect(fold.engine.instance(leak)?.state).toBe(before)
  })

  it('with a higher limit let the alarm return, with a lower one raise it, on the value that is held', () => {
    read(0.4)
    config(copy =>
      Object.assign(levelsOf(copy, 'cl2.leak')[0] ?? {}, { at: '>= 0.5', deadband: 0.01, off_delay: '0s' }),
    )
    expect(stateOf(leak)).toBe('RTN_UNACK')
    expect(kinds(config(() => undefined))).toEqual(['CONFIG', 'RAISE'])
  })

  it('without the rule retire its alarms: open ones stay until acknowledged, the others go', () => {
    read(0.4)
    read(0.05, 's/cl2-2/concentration')
    config(copy => copy.rules.splice(0, 1))
    expect(stateOf(leak)).toBe('RTN_UNACK')
    expect(fold.engine.instance('cl2.leak@s:cl2-2:concentration')).toBeUndefined()
    fold.restart()
    read(0.9)
    expect(fold.engine.instance(leak)?.state.occ).toBe(1)
    const command = { type: 'acknowledge', alarm: leak, occ: 1, ann: 1 } as const
    fold.apply({ kind: 'command', at: now(), commandId: 'a', actor: 'op', command })
    expect(fold.engine.instance(leak)).toBeUndefined()
  })

  it('that bring a retired rule back go on counting', () => {
    read(0.4)
    config(copy => copy.rules.splice(0, 1))
    config(() => undefined)
    read(0.4)
    expect(fold.engine.instance(leak)?.state).toMatchObject({ occ: 2, e: 'on' })
  })

  it('make alarms for tags that were of no concern before, with their next reading', () => {
    const other = 's/tank-1/level'
    read(99, other)
    expect(fold.engine.reads(other)).toBe(false)
    config(copy =>
      Object.assign(copy.rules.find(({ id }) => id === 'tank.level') ?? {}, { for_each: { tag: '*/*/level' } }),
    )
    expect(fold.engine.reads(other)).toBe(true)
    read(99, other)
    pass(2_000)
    expect(stateOf('tank.level@s:tank-1:level')).toBe('NORMAL')
    pass(2_100)
    expect(stateOf('tank.level@s:tank-1:level')).toBe('UNACK')
  })
})

describe('time', () => {
  it('that is set back by hours neither loses a running delay nor fires it early', () => {
    read(96, level)
    pass(1_000)
    const back = now() - 5 * 3_600_000
    expect(kinds(fold.apply({ kind: 'tick', at: back }))).toEqual(['CLOCK'])
    expect(now()).toBe(back)
    pass(2_900)
    expect(stateOf(tank)).toBe('NORMAL')
    pass(200)
    expect(stateOf(tank)).toBe('UNACK')
    read(0.4)
    expect(stateOf(leak)).toBe('UNACK')
  })

  it('that was set back does not prolong an inhibit', () => {
    read(0.05)
    const command = { type: 'inhibit', device: 's:cl2-1', until: now() + 600_000, reason: 'calibration' } as const
    fold.apply({ kind: 'command', at: now(), commandId: 'i', actor: 'op', command })
    fold.apply({ kind: 'tick', at: now() - 24 * 3_600_000 })
    read(0.4)
    expect(stateOf(leak)).toBe('NORMAL')
    pass(600_000)
    expect(fold.engine.inhibits).toEqual([])
  })

  it('in which the engine did not run does not count as on-delay, and makes every alarm unverified', () => {
    read(91, level)
    read(0.4)
    pass(5_000)
    const records = fold.apply({ kind: 'tick', at: now() + 3_600_000 })
    expect(kinds(records)).toEqual(['DOWN'])
    expect([stateOf(tank), fold.engine.instance(tank)?.state.h]).toEqual(['NORMAL', 'init'])
    expect([stateOf(leak), fold.engine.instance(leak)?.state.h]).toEqual(['UNACK', 'init'])
    // A birth tells the value of now; what was in between is not known yet.
    fold.apply({ kind: 'readings', lane: 'copy', at: now(), skewMs: 0, readings: [reading(level, 91, now())] })
    pass(4_900)
    expect(stateOf(tank)).toBe('NORMAL')
    pass(2_200)
    expect(stateOf(tank)).toBe('UNACK')
  })

  it('in which the engine did not run is made up for by the readings that the edge has kept', () => {
    read(91, level)
    pass(5_000)
    const away = now()
    fold.apply({ kind: 'tick', at: away + 600_000 })
    fold.apply({ kind: 'readings', lane: 'copy', at: now(), skewMs: 0, readings: [reading(level, 91, now())] })
    expect(stateOf(tank)).toBe('NORMAL')
    for (let k = 1; k <= 10; k++) {
      fold.apply({
        kind: 'readings',
        lane: 'backlog',
        at: now(),
        skewMs: 0,
        readings: [reading(level, 91, away + k * 60_000)],
      })
    }
    expect(stateOf(tank)).toBe('UNACK')
    expect(fold.engine.instance(tank)?.state.activeSince).toBe(away + 5_000)
    expect(fold.journal.slice(-2).map(({ kind, cause }) => [kind, cause])).toEqual([
      ['REVISED', 'V1'],
      ['RAISE', 'V1'],
    ])
  })

  it('does not make a meter silent while the engine did not run', () => {
    read(1, 's/fm-1/flow')
    fold.apply({ kind: 'tick', at: now() + 3_600_000 })
    pass(119_000)
    expect(stateOf('meter.comm-loss@s:fm-1')).toBe('NORMAL')
    pass(2_000)
    expect(stateOf('meter.comm-loss@s:fm-1')).toBe('UNACK')
  })
})

describe('a source', () => {
  it('that is known and has never reported is silent', () => {
    fold.apply({ kind: 'known', at: now(), tags: ['s/fm-7/flow'] })
    pass(125_000)
    expect(stateOf('meter.comm-loss@s:fm-7')).toBe('UNACK')
  })

  it('that repeats itself is not silent', () => {
    for (let k = 0; k < 6; k++) {
      fold.apply({ kind: 'readings', lane: 'copy', at: now(), skewMs: 0, readings: [reading('s/fm-1/flow', 1, start)] })
      pass(60_000)
    }
    expect(stateOf('meter.comm-loss@s:fm-1')).toBe('NORMAL')
  })
})

describe('an outage', () => {
  const at = (lane: 'copy' | 'backlog' | 'current', value: number, stamp: number) =>
    fold.apply({ kind: 'readings', lane, at: now(), skewMs: 0, readings: [reading(gas, value, stamp)] })

  it('that was made up for is not found again when a restored disk repeats it', () => {
    read(0.05)
    const away = now()
    pass(600_000)
    at('copy', 0.05, now())
    const backlog = [0.05, 0.4, 0.4, 0.05, 0.05, 0.05].map((value, k) => [value, away + (k + 1) * 60_000] as const)
    for (const [value, stamp] of backlog) at('backlog', value, stamp)
    at('current', 0.05, now())
    const found = () => fold.journal.filter(({ kind }) => kind === 'LATE_FINDING').length
    expect(found()).toBe(1)
    for (const [value, stamp] of backlog) at('backlog', value, stamp)
    pass(60_000)
    at('current', 0.05, now())
    expect(found()).toBe(1)
    expect(fold.journal.filter(({ kind }) => kind === 'RAISE' || kind === 'REVISED')).toEqual([])
  })

  it('of which the gateway only heard by the readings that go on is none for the edge', () => {
    fold.apply({ kind: 'edge', at: now(), edge: 'g/e', online: true })
    fold.apply({ kind: 'tick', at: now() + 600_000 })
    pass(10_000)
    fold.apply({
      kind: 'readings',
      lane: 'current',
      edge: 'g/e',
      at: now(),
      skewMs: 0,
      readings: [reading(gas, 0.05, now())],
    })
    pass(60_000)
    expect(stateOf('edge.offline@g:e')).toBe('NORMAL')
  })

  it('after which the edge does not come back is an alarm', () => {
    fold.apply({ kind: 'edge', at: now(), edge: 'g/e', online: true })
    fold.apply({ kind: 'tick', at: now() + 600_000 })
    pass(33_000)
    expect(stateOf('edge.offline@g:e')).toBe('UNACK')
  })
})

describe('an inhibit', () => {
  const inhibit = (id: string, until: number) =>
    fold.apply({
      kind: 'command',
      at: now(),
      commandId: id,
      actor: 'op',
      command: { type: 'inhibit', device: 's/cl2-1', until, reason: 'x' },
    })

  it('cannot be prolonged beyond its limit, which counts from its beginning', () => {
    read(0.05)
    const from = now()
    inhibit('a', from + 3_000_000)
    pass(2_000_000)
    expect(inhibit('b', from + 3_600_001)).toMatchObject([{ kind: 'REFUSE', reason: 'too_long' }])
    expect(inhibit('c', from + 3_600_000)).toMatchObject([{ kind: 'INHIBIT' }])
    pass(1_500_000)
    expect(fold.engine.inhibits).toHaveLength(1)
    pass(100_001)
    expect(fold.engine.inhibits).toEqual([])
  })

  it('survives a restart, and ends on time after it', () => {
    read(0.05)
    inhibit('a', now() + 600_000)
    fold.restart()
    read(0.9)
    expect(stateOf(leak)).toBe('NORMAL')
    pass(600_001)
    expect(fold.engine.inhibits).toEqual([])
  })
})

describe('an unknown command', () => {
  it.each([
    [{ type: 'acknowledge', alarm: 'no@such', occ: 1, ann: 1 }, 'unknown_alarm'],
    [{ type: 'inhibit', device: 's/x', until: start + 60_000, reason: 'x' }, 'unknown_device'],
    [{ type: 'end-inhibit', device: 's/x' }, 'not_inhibited'],
  ] as const)('%j is refused with a record', (command, code) => {
    const input: EngineInput = { kind: 'command', at: now(), commandId: 'x', actor: 'op', command }
    expect(fold.apply(input)).toMatchObject([{ kind: 'REFUSE', reason: code, actor: 'op' }])
    expect(fold.engine.answerOf('x', command)).toEqual({ ok: false, code, alarm: null })
    expect(fold.apply(input)).toEqual([])
  })
})

describe('the quiet zone', () => {
  it('is only a short cut: with it and without it the journal is the same', () => {
    const value = fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constantFrom(5, 6, 10, 12, 88, 90, 94, 95, 4.99, 94.01))
    const story = fc.array(fc.record({ value, after: fc.constantFrom(100, 1_000, 3_000, 15_000) }), { maxLength: 150 })
    fc.assert(
      fc.property(story, samples => {
        const run = (shortCut: boolean) => {
          const one = new Fold([file], start)
          let at = start
          for (const { value: v, after } of samples) {
            at += after
            one.passTo(at)
            const { tags } = one.engine.parts
            if (!shortCut)
              for (let row = 0; row < tags.size; row++) tags.cells[row * stride + cell.lo] = Number.POSITIVE_INFINITY
            one.apply({ kind: 'readings', lane: 'current', at, skewMs: 0, readings: [reading(level, v, at)] })
          }
          one.passTo(at + 100_000)
          return one.happened('kind', 'at', 'level', 'occ', 'after')
        }
        expect(run(true)).toEqual(run(false))
      }),
      { numRuns: runs(150) },
    )
  })
})
