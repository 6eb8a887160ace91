import { compileRules } from '@penstock/core/alarms/compile.ts'
import type { AlarmEvent, Step, Zone } from '@penstock/core/alarms/event.ts'
import { migrate } from '@penstock/core/alarms/migrate.ts'
import { maxLate } from '@penstock/core/alarms/revise.ts'
import type { RuleFile } from '@penstock/core/alarms/rule-file.ts'
import { type AlarmState, initialState, stateName } from '@penstock/core/alarms/state.ts'
import { step } from '@penstock/core/alarms/step.ts'
import { describe, expect, it } from 'vitest'

type Level = NonNullable<RuleFile['rules'][number]['levels']>[number]

function ruleOf(levels: Partial<Level>[], more: Partial<RuleFile['rules'][number]> = {}) {
  const file: RuleFile = {
    version: 1,
    rules: [
      {
        id: 'r',
        kind: 'limit',
        for_each: { tag: '*/*/*' },
        unit: 'ppm',
        levels: levels.map((level, index) => ({
          name: ['H', 'HH'][index] ?? 'X',
          at: `>= ${(index + 1) * 10}`,
          deadband: 2,
          priority: 'high',
          ...level,
        })),
        text: { zh: '报警', en: 'alarm' },
        ...more,
      },
    ],
  }
  const [rule] = compileRules([file]).rules
  if (!rule) throw new Error('no rule')
  return rule
}

/** Applies events one after the other and remembers the last step. */
class Run {
  state: AlarmState
  last: Step
  readonly rule: ReturnType<typeof ruleOf>

  constructor(rule: ReturnType<typeof ruleOf>) {
    this.rule = rule
    this.state = initialState(rule.levels.length)
    this.last = { state: this.state, effects: [], refused: null }
  }

  do(event: AlarmEvent): this {
    this.last = step(this.state, event, this.rule)
    this.state = this.last.state
    return this
  }

  sample(t: number, zones: string, raiseOnly = false): this {
    return this.do({ type: 'sample', t, value: t, zones: [...zones] as Zone[], raiseOnly })
  }

  timers(upTo: number, strict = false): this {
    return this.do({ type: 'timers', upTo, strict, value: 7 })
  }

  ack(occ: number, ann: number): this {
    return this.do({ type: 'ack', t: 1, occ, ann, actor: 'op', commandId: 'c' })
  }

  reset(occ: number): this {
    return this.do({ type: 'reset', t: 1, occ, actor: 'op', commandId: 'c' })
  }

  get c(): string {
    return this.state.levels.map(({ c }) => c).join('')
  }

  get name(): string {
    return stateName(this.state)
  }

  get kinds(): string[] {
    return this.last.effects.map(({ kind, cause }) => `${kind} ${cause}`)
  }
}

const plain = ruleOf([{}])
const delayed = ruleOf([{ on_delay: '10s', off_delay: '20s' }])
const latching = ruleOf([{ latch: true }])
const two = ruleOf([{ off_delay: '20s' }, { off_delay: '20s', priority: 'critical' }])

describe('the transition table', () => {
  it('C1: a condition with an on-delay makes the alarm pending, without a line in the journal', () => {
    const run = new Run(delayed).sample(1_000, 'T')
    expect([run.c, run.kinds, run.name, run.state.levels[0]?.due]).toEqual(['P', [], 'NORMAL', 11_000])
  })

  it('C2: without a delay it raises at once, as the next occurrence, to be acknowledged', () => {
    const run = new Run(plain).sample(1_000, 'T')
    expect([run.c, run.kinds, run.name]).toEqual(['A', ['RAISE C2'], 'UNACK'])
    expect(run.state).toMatchObject({ occ: 1, ann: 1, k: 'u', seen: true, activeSince: 1_000, value: 1_000 })
    expect(run.last.effects[0]).toMatchObject({ announce: true, occ: 1, before: 'NORMAL', after: 'UNACK' })
    expect(run.sample(2_000, 'F').sample(3_000, 'T').state.occ).toBe(2)
  })

  it('C3: the on-delay ends: active since then, the condition since the first sample', () => {
    const run = new Run(delayed).sample(1_000, 'T').timers(10_999)
    expect(run.c).toBe('P')
    run.timers(11_000, true)
    expect(run.c).toBe('P')
    run.timers(11_000)
    expect([run.c, run.kinds]).toEqual(['A', ['RAISE C3']])
    expect(run.state).toMatchObject({ activeSince: 11_000, conditionSince: 1_000, value: 7 })
  })

  it.each(['F', 'M'])('C4: %s drops a pending alarm; the deadband never keeps it', zone => {
    const run = new Run(delayed).sample(1_000, 'T').sample(2_000, zone).timers(99_000)
    expect([run.c, run.kinds, run.state.occ]).toEqual(['N', [], 0])
  })

  it('C5: the on-delay goes on while the condition lasts', () => {
    const run = new Run(delayed).sample(1_000, 'T').sample(9_000, 'T')
    expect(run.state.levels[0]).toMatchObject({ c: 'P', due: 11_000 })
  })

  it('C6, C10: the return waits for the off-delay', () => {
    const run = new Run(delayed).sample(1_000, 'T').timers(11_000).sample(12_000, 'F')
    expect([run.c, run.name, run.state.levels[0]?.due]).toEqual(['R', 'UNACK', 32_000])
    run.timers(32_000)
    expect([run.c, run.kinds, run.name, run.state.returnedAt]).toEqual(['N', ['RTN C10'], 'RTN_UNACK', 32_000])
  })

  it('C7: without an off-delay it returns at once', () => {
    const run = new Run(plain).sample(1_000, 'T').sample(2_000, 'F')
    expect([run.c, run.kinds, run.name]).toEqual(['N', ['RTN C7'], 'RTN_UNACK'])
    expect(run.last.effects[0]).toMatchObject({ activeSince: 1_000, returnedAt: 2_000, announce: true })
  })

  it('C8: inside the deadband an active alarm stays', () => {
    const run = new Run(plain).sample(1_000, 'T').sample(2_000, 'M')
    expect([run.c, run.kinds]).toEqual(['A', []])
  })

  it.each(['T', 'M'])('C9: %s while the off-delay runs is the same occurrence, without a message', zone => {
    const run = new Run(delayed).sample(1_000, 'T').timers(11_000).sample(12_000, 'F').sample(13_000, zone)
    expect([run.c, run.kinds, run.state.occ, run.state.chatter]).toEqual(['A', [], 1, 1])
    expect(run.timers(99_000).kinds).toEqual([])
  })

  it('C11: a worse level announces anew and needs a new acknowledge', () => {
    const run = new Run(two).sample(1_000, 'TF').ack(1, 1).sample(2_000, 'TT')
    expect([run.kinds, run.name, run.state.ann, run.state.ackedBy]).toEqual([['LEVEL C11'], 'UNACK', 2, null])
    expect(run.last.effects[0]).toMatchObject({ level: 1, fromLevel: 0, announce: true })
  })

  it('C11: a jump over a level raises at the worse one at once', () => {
    const run = new Run(two).sample(1_000, 'TT')
    expect([run.kinds, run.state.v]).toEqual([['RAISE C2'], 1])
  })

  it('C12: a milder level keeps the acknowledgement as it is and is silent', () => {
    const run = new Run(two).sample(1_000, 'TT').ack(1, 1).sample(2_000, 'TF').timers(22_000)
    expect([run.kinds, run.name, run.state.v, run.last.effects[0]?.announce]).toEqual([['LEVEL C12'], 'ACK', 0, false])
    const unacked = new Run(two).sample(1_000, 'TT').sample(2_000, 'TF').timers(22_000)
    expect([unacked.name, unacked.state.peak]).toEqual(['UNACK', 1])
  })

  it('C13: an unacknowledged return stays in the list until it is acknowledged', () => {
    const run = new Run(plain).sample(1_000, 'T').sample(2_000, 'F').ack(1, 1)
    expect([run.name, run.kinds]).toEqual(['NORMAL', ['ACK K1']])
  })

  it('Q1, Q4: an unknown value changes nothing and pauses the delay; a good one lets it go on', () => {
    const run = new Run(delayed).sample(1_000, 'T').do({ type: 'unknown', t: 5_000, health: 'bad' })
    expect([run.c, run.state.h, run.timers(99_000).kinds]).toEqual(['P', 'bad', []])
    run.sample(50_000, 'T')
    expect([run.state.h, run.state.levels[0]?.due]).toEqual(['ok', 56_000])
    const active = new Run(plain).sample(1_000, 'T').do({ type: 'unknown', t: 2_000, health: 'stale' })
    expect([active.name, active.state.h]).toEqual(['UNACK', 'stale'])
  })

  it('Q1: a running off-delay does not end while the value is unknown', () => {
    const run = new Run(delayed)
      .sample(1_000, 'T')
      .timers(11_000)
      .sample(12_000, 'F')
      .do({ type: 'unknown', t: 20_000, health: 'bad' })
    expect(run.timers(999_000).c).toBe('R')
    expect(run.sample(1_000_000, 'F').timers(1_012_000).kinds).toEqual(['RTN C10'])
  })

  it('Q5: an uncertain value raises, worsens, and clears nothing', () => {
    expect(new Run(plain).sample(1_000, 'T', true).kinds).toEqual(['RAISE C2'])
    const run = new Run(two).sample(1_000, 'TF').sample(2_000, 'FF', true)
    expect([run.c, run.state.h]).toEqual(['AN', 'uncertain'])
    expect(run.sample(3_000, 'TT', true).kinds).toEqual(['LEVEL C11'])
    const recovering = new Run(delayed).sample(1_000, 'T').timers(11_000).sample(12_000, 'F').sample(13_000, 'F', true)
    expect(recovering.timers(999_000).c).toBe('R')
  })

  it('K1: an acknowledge of what is shown', () => {
    const run = new Run(plain).sample(1_000, 'T').ack(1, 1)
    expect([run.name, run.kinds, run.last.refused]).toEqual(['ACK', ['ACK K1'], null])
    expect(run.state).toMatchObject({ ackedBy: 'op', ackedAt: 1 })
  })

  it.each([
    [1, 1, 'an older announcement'],
    [2, 3, 'one that was never made'],
    [3, 1, 'an occurrence that never was'],
  ])('K2: of occurrence %i, announcement %i (%s) is refused', (occ, ann) => {
    const run = new Run(two)
      .sample(1_000, 'TF')
      .sample(2_000, 'FF')
      .timers(22_000)
      .sample(30_000, 'TF')
      .sample(31_000, 'TT')
    expect(run.ack(occ, ann).last.refused).not.toBeNull()
    expect([run.name, run.kinds]).toEqual(['UNACK', ['REFUSE K2']])
  })

  it('K3: a second acknowledge is no event', () => {
    const run = new Run(plain).sample(1_000, 'T').ack(1, 1).ack(1, 1)
    expect([run.kinds, run.last.refused, run.name]).toEqual([[], null, 'ACK'])
  })

  it('L1: a latched alarm is reset when it has returned and is acknowledged', () => {
    const run = new Run(latching).sample(1_000, 'T').sample(2_000, 'F').ack(1, 1)
    expect(run.name).toBe('LATCH_ACK')
    expect([run.reset(1).name, run.kinds]).toEqual(['NORMAL', ['RESET L1']])
  })

  it('L2: not while it is active, not unacknowledged, not one that is not latched', () => {
    const active = new Run(latching).sample(1_000, 'T').ack(1, 1).reset(1)
    expect([active.last.refused, active.kinds]).toEqual(['active', ['REFUSE L2']])
    expect(new Run(latching).sample(1_000, 'T').sample(2_000, 'F').reset(1).last.refused).toBe('unacknowledged')
    expect(new Run(plain).sample(1_000, 'T').ack(1, 1).reset(1).last.refused).toBe('not_latched')
    expect(new Run(latching).sample(1_000, 'T').sample(2_000, 'F').sample(3_000, 'T').reset(1).last.refused).toBe(
      'stale_ack',
    )
  })

  it('L1: the latch of an earlier occurrence does not fall by a new one that does not latch', () => {
    const upper = new Run(ruleOf([{}, { latch: true }]))
      .sample(1_000, 'TT')
      .sample(2_000, 'FF')
      .sample(3_000, 'TF')
      .sample(4_000, 'FF')
    expect([upper.name, upper.state.occ, upper.state.l]).toEqual(['LATCH_UNACK', 2, true])
  })

  it('E4: what is retired returns, and stays until acknowledged and reset', () => {
    const run = new Run(latching).sample(1_000, 'T').do({ type: 'retire', t: 2_000 })
    expect([run.kinds, run.name, run.last.effects[0]?.reason]).toEqual([['RTN E4'], 'LATCH_UNACK', 'retired'])
    expect(run.ack(1, 1).reset(1).name).toBe('NORMAL')
    expect(new Run(delayed).sample(1_000, 'T').do({ type: 'retire', t: 2_000 }).timers(99_000).kinds).toEqual([])
  })

  it('E3: what is enabled again waits for a sample and sends nothing', () => {
    const run = new Run(plain).do({ type: 'retire', t: 1 }).do({ type: 'enable' })
    expect([run.kinds, run.state.e, run.state.h]).toEqual([[], 'on', 'init'])
  })

  it('B1: a start keeps the alarm, pauses what runs and asks for verification', () => {
    const run = new Run(plain).sample(1_000, 'T').do({ type: 'unknown', t: 2_000, health: 'init' })
    expect([run.name, run.state.h, run.kinds]).toEqual(['UNACK', 'init', []])
  })

  it('V2: of what was over before anybody could know, high and critical are listed, others journaled', () => {
    const finding = { type: 'late', level: 0, value: 3, activeSince: 10, returnedAt: 20 } as const
    const run = new Run(plain).do(finding)
    expect([run.name, run.kinds, run.state.late.length]).toEqual(['NORMAL', ['LATE_FINDING V2'], 1])
    expect(run.last.effects[0]).toMatchObject({
      after: 'RTN_UNACK',
      announce: true,
      late: true,
      activeSince: 10,
      returnedAt: 20,
      occ: 1,
    })
    expect(run.sample(30, 'T').state.occ).toBe(2)
    expect([run.ack(1, 1).state.late.length, run.state.k]).toEqual([0, 'u'])
    const low = new Run(ruleOf([{ priority: 'low' }])).do(finding)
    expect([low.state.late.length, low.last.effects[0]?.announce]).toEqual([0, false])
  })

  it('V2: too many of them are counted in the newest', () => {
    const run = new Run(plain)
    for (let k = 0; k < maxLate + 5; k++)
      run.do({ type: 'late', level: 0, value: k, activeSince: k * 10, returnedAt: k * 10 + 5 })
    expect([run.state.late.length, run.state.late.at(-1)?.count, run.state.late.at(-1)?.occ]).toEqual([
      maxLate,
      6,
      maxLate + 5,
    ])
  })

  it('auto_ack and priority journal need no acknowledge; journal tells nobody', () => {
    const auto = new Run(ruleOf([{ priority: 'low' }], { auto_ack: true })).sample(1_000, 'T')
    expect([auto.name, auto.last.effects[0]?.announce]).toEqual(['ACK', true])
    const journal = new Run(ruleOf([{ priority: 'journal' }])).sample(1_000, 'T')
    expect([journal.name, journal.last.effects[0]?.announce]).toEqual(['ACK', false])
    expect(journal.sample(2_000, 'F').last.effects[0]?.announce).toBe(false)
  })
})

describe('a rule that changes', () => {
  it('keeps what is active, by the names of the levels; a level that is gone is over', () => {
    const run = new Run(two).sample(1_000, 'TT')
    const swapped = ruleOf([
      { name: 'HH', at: '>= 25', priority: 'critical' },
      { name: 'H', at: '>= 12' },
    ])
    expect(migrate(run.state, two, swapped, 5_000).state).toMatchObject({ v: 0, peak: 0, k: 'u', occ: 1 })
    const gone = migrate(run.state, two, ruleOf([{ name: 'X' }]), 5_000)
    expect(gone.effects).toMatchObject([{ kind: 'RTN', reason: 'config', at: 5_000 }])
    expect(stateName(gone.state)).toBe('RTN_UNACK')
  })

  it('never makes an active alarm pending; a running delay gets its new length', () => {
    const active = new Run(plain).sample(1_000, 'T')
    expect(migrate(active.state, plain, delayed, 5_000).state.levels[0]?.c).toBe('A')
    const pending = new Run(delayed).sample(1_000, 'T')
    expect(migrate(pending.state, delayed, ruleOf([{ on_delay: '30s' }]), 5_000).state.levels[0]).toMatchObject({
      c: 'P',
      due: 31_000,
    })
  })

  it('announces anew when its priority rises, not when it falls', () => {
    const acked = new Run(plain).sample(1_000, 'T').ack(1, 1).state
    const raised = migrate(acked, plain, ruleOf([{ priority: 'critical' }]), 5_000)
    expect([stateName(raised.state), raised.state.ann, raised.effects]).toMatchObject([
      'UNACK',
      2,
      [{ kind: 'CONFIG', announce: true }],
    ])
    const lowered = migrate(acked, plain, ruleOf([{ priority: 'low' }]), 5_000)
    expect([stateName(lowered.state), lowered.effects]).toEqual(['ACK', []])
  })
})
