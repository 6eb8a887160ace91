import { join } from 'node:path'
import type { EngineInput } from '@penstock/core/alarms/input.ts'
import { alarmLimits, crossesLimit } from '@penstock/core/alarms/limits.ts'
import { loadRuleFile } from '@penstock/core/alarms/rule-file.ts'
import { viewsOf } from '@penstock/core/alarms/view.ts'
import type { Reading } from '@penstock/core/reading.ts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Fold, reading, runs } from './support.ts'

const { file } = loadRuleFile(join(import.meta.dirname, 'golden/rules.yaml'))
const start = Date.parse('2026-03-01T00:00:00+08:00')
const gas = 's/cl2-1/concentration'
const level = 's/level-1/level'
const meter = 's/fm-1/flow'
const leak = 'cl2.leak@s:cl2-1:concentration'

const gasValue = fc.constantFrom(0, 0.05, 0.24, 0.25, 0.27, 0.3, 0.35, 0.5, 0.55, 0.6, 0.9)
const levelValue = fc.constantFrom(3, 5, 5.5, 8, 10, 11, 50, 88, 89, 90, 92, 94.5, 95, 97)
const sample: fc.Arbitrary<Omit<Reading, 'sourceTimestamp'>> = fc.oneof(
  { weight: 8, arbitrary: gasValue.map(value => reading(gas, value, 0)) },
  { weight: 8, arbitrary: levelValue.map(value => reading(level, value, 0)) },
  { weight: 2, arbitrary: fc.constant(reading(meter, 1, 0)) },
  { weight: 1, arbitrary: fc.constant(reading(gas, null, 0)) },
  { weight: 1, arbitrary: fc.constant(reading(level, null, 0, { reason: 'device-fault' })) },
  {
    weight: 1,
    arbitrary: gasValue.map(value => reading(gas, value, 0, { quality: 'uncertain', reason: 'device-warning' })),
  },
  { weight: 1, arbitrary: gasValue.map(value => reading(gas, value, 0, { quality: 'uncertain', reason: 'clock' })) },
  { weight: 1, arbitrary: gasValue.map(value => reading(gas, value, 0, { quality: 'uncertain', reason: 'inhibit' })) },
)

type Act =
  | { readonly kind: 'sample'; readonly sample: Omit<Reading, 'sourceTimestamp'> }
  | { readonly kind: 'ack' | 'reset'; readonly occ: number; readonly ann: number }
  | { readonly kind: 'offline' | 'online' | 'inhibit' | 'end-inhibit' }

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 24, arbitrary: sample.map(one => ({ kind: 'sample' as const, sample: one })) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('ack' as const, 'reset' as const),
      occ: fc.integer({ min: 1, max: 4 }),
      ann: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('offline' as const, 'online' as const, 'inhibit' as const, 'end-inhibit' as const)
      .map(kind => ({ kind })),
  },
)
const story = fc.array(
  fc.record({
    after: fc.constantFrom(0, 1, 250, 1_000, 1_999, 2_000, 5_000, 29_999, 30_000, 60_000, 200_000, 3_700_000),
    act,
  }),
  { minLength: 1, maxLength: 60 },
)
type Story = readonly { readonly after: number; readonly act: Act }[]

function inputOf(one: Act, at: number, index: number): EngineInput {
  const common = { kind: 'command' as const, at, commandId: `c${index}`, actor: 'op' }
  switch (one.kind) {
    case 'sample':
      return { kind: 'readings', lane: 'current', at, skewMs: 0, readings: [{ ...one.sample, sourceTimestamp: at }] }
    case 'ack':
      return { ...common, command: { type: 'acknowledge', alarm: leak, occ: one.occ, ann: one.ann } }
    case 'reset':
      return { ...common, command: { type: 'reset', alarm: leak, occ: one.occ } }
    case 'inhibit':
      return { ...common, command: { type: 'inhibit', device: 's:cl2-1', until: at + 600_000, reason: 'x' } }
    case 'end-inhibit':
      return { ...common, command: { type: 'end-inhibit', device: 's:cl2-1' } }
    case 'offline':
      return { kind: 'lost', at, reason: 'edge-offline', tags: [gas, level, meter] }
    case 'online':
      return { kind: 'edge', at, edge: 'g/e', online: true }
  }
}

function inputsOf(acts: Story): EngineInput[] {
  let at = start
  return acts.map(({ after, act: one }, index) => {
    at += after
    return inputOf(one, at, index)
  })
}

function run(
  inputs: readonly EngineInput[],
  each: (fold: Fold, input: EngineInput, index: number) => void = (fold, input) => void fold.apply(input),
  end = (inputs.at(-1)?.at ?? start) + 120_000,
): Fold {
  const fold = new Fold([file], start)
  for (const [index, input] of inputs.entries()) {
    fold.passTo(input.at)
    each(fold, input, index)
  }
  fold.passTo(end)
  return fold
}

describe('for any readings, commands and outages', () => {
  it('restarts at any place change nothing: neither the journal nor what comes after', () => {
    fc.assert(
      fc.property(story, fc.array(fc.nat({ max: 60 }), { maxLength: 5 }), (acts, places) => {
        const inputs = inputsOf(acts)
        const smooth = run(inputs)
        const restarted = run(inputs, (fold, input, index) => {
          if (places.includes(index)) fold.restart()
          fold.apply(input)
          if (places.includes(index)) fold.restart()
        })
        expect(restarted.journal).toEqual(smooth.journal)
      }),
      { numRuns: runs(150) },
    )
  })

  it('a repeated reading, or one split from its batch, changes nothing', () => {
    fc.assert(
      fc.property(story, acts => {
        const inputs = inputsOf(acts)
        const repeated = run(inputs, (fold, input) => {
          fold.apply(input)
          if (input.kind === 'readings') fold.apply(input)
        })
        expect(repeated.happened()).toEqual(run(inputs).happened())
      }),
      { numRuns: runs(100) },
    )
  })

  it('alarms of different sources do not touch each other', () => {
    fc.assert(
      fc.property(story, acts => {
        const inputs = inputsOf(acts)
        const all = run(inputs)
        const ofOthers = inputs.filter(
          input => input.kind !== 'readings' || input.readings.every(({ tag }) => tag !== level),
        )
        const alone = run(ofOthers, undefined, (inputs.at(-1)?.at ?? start) + 120_000)
        const ofGas = (fold: Fold) =>
          fold.journal
            .filter(({ source }) => source === gas)
            .map(({ kind, at, level: name, occ, ann, after }) => [kind, at, name, occ, ann, after])
        expect(ofGas(alone)).toEqual(ofGas(all))
      }),
      { numRuns: runs(100) },
    )
  })

  it('each record follows from the one before it; occurrences count up by one; nothing lasts a negative time', () => {
    fc.assert(
      fc.property(story, acts => {
        const fold = run(inputsOf(acts))
        const last = new Map<string, { after: string | null; occ: number; at: number; active: boolean }>()
        for (const { alarm, before, after, occ, at, kind, late } of fold.journal) {
          if (alarm === null || kind === 'REFUSE' || late) continue
          const previous = last.get(alarm) ?? { after: 'NORMAL', occ: 0, at: 0, active: false }
          expect(before).toBe(previous.after)
          if (kind === 'RAISE') expect([previous.active, occ]).toEqual([false, previous.occ + 1])
          if (kind === 'RTN' || kind === 'LEVEL') expect([previous.active, occ]).toEqual([true, previous.occ])
          if (kind === 'RTN') expect(at).toBeGreaterThanOrEqual(previous.at)
          last.set(alarm, {
            after,
            occ: occ ?? 0,
            at,
            active: kind === 'RAISE' || kind === 'LEVEL' || (kind !== 'RTN' && previous.active),
          })
        }
      }),
      { numRuns: runs(150) },
    )
  })

  it('no alarm without a reading that is in the zone, and only what was shown is acknowledged', () => {
    fc.assert(
      fc.property(story, acts => {
        const values = new Map<string, number>()
        const fold = run(inputsOf(acts), (one, input) => {
          const instance = one.engine.instance(leak)
          const shown = instance && viewsOf(one.engine, instance)[0]
          const records = one.apply(input)
          if (input.kind === 'readings')
            for (const each of input.readings)
              if (typeof each.value === 'number') values.set(`${each.tag} ${input.at}`, each.value)
          const ack = records.find(({ kind, late }) => kind === 'ACK' && !late)
          if (ack && shown) expect([ack.occ, ack.ann]).toEqual([shown.occ, shown.ann])
        })
        for (const { kind, rule, limit, value } of fold.journal) {
          if (kind !== 'RAISE' || (rule !== 'cl2.leak' && rule !== 'tank.level')) continue
          const low = rule === 'tank.level' && limit !== null && limit <= 10
          expect(low ? (value ?? 0) <= (limit ?? 0) : (value ?? 0) >= (limit ?? 0)).toBe(true)
        }
      }),
      { numRuns: runs(100) },
    )
  })

  it('an open alarm never vanishes: unacknowledged it ends by an acknowledge, latched by a reset', () => {
    fc.assert(
      fc.property(story, acts => {
        const waiting = new Map<string, boolean>()
        for (const { alarm, kind, after, late } of run(inputsOf(acts)).journal) {
          if (alarm === null || late) continue
          const open = after !== 'NORMAL'
          if (waiting.get(alarm) && !open) expect(['ACK', 'RESET', 'RTN']).toContain(kind)
          if (kind === 'RTN' && !open) expect(waiting.get(alarm)).toBe(true)
          waiting.set(alarm, open)
        }
      }),
      { numRuns: runs(60) },
    )
  })
})

/** What an edge reports: every crossing of a limit, else only what moved by the deadband, and the heartbeat. */
function thin(
  samples: readonly { at: number; value: number }[],
  limits: readonly number[],
  deadband: number,
  heartbeatMs: number,
) {
  let last: { at: number; value: number } | null = null
  return samples.filter(one => {
    const worth =
      last === null ||
      Math.abs(one.value - last.value) >= deadband ||
      one.at - last.at >= heartbeatMs ||
      crossesLimit(limits, last.value, one.value)
    if (worth) last = one
    return worth
  })
}

describe('the deadband of an edge', () => {
  const walk = (lo: number, hi: number, step: number) =>
    fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 300 }).map(steps => {
      let value = (lo + hi) / 2
      return steps.map((move, index) => {
        value = Math.min(hi, Math.max(lo, Number((value + move * step).toFixed(6))))
        return { at: start + 1_000 + index * 1_000, value }
      })
    })
  const alarmsOf = (tag: string, samples: readonly { at: number; value: number }[], end: number) => {
    const fold = new Fold([file], start)
    for (const { at, value } of samples) {
      fold.passTo(at)
      fold.apply({ kind: 'readings', lane: 'current', at, skewMs: 0, readings: [reading(tag, value, at)] })
    }
    fold.passTo(end)
    return fold.happened('alarm', 'kind', 'at', 'level', 'occ', 'ann')
  }

  it.each([
    [gas, walk(0.1, 0.7, 0.01), 0.05],
    [gas, walk(0.2, 0.35, 0.01), 0.4],
    [level, walk(85, 100, 0.25), 3],
    [level, walk(1, 14, 0.25), 2],
  ] as const)(
    'hides no alarm of %s: the alarms of the reported readings are those of all readings',
    (tag, samples, deadband) => {
      const fold = new Fold([file], start)
      const limits = alarmLimits(fold.engine.rules, [tag]).limits.get(tag) ?? []
      expect(limits.length).toBeGreaterThan(3)
      let thinned = 0
      let alarms = 0
      fc.assert(
        fc.property(samples, all => {
          const end = (all.at(-1)?.at ?? start) + 70_000
          const reported = thin(all, limits, deadband, 60_000)
          thinned += all.length - reported.length
          const expected = alarmsOf(tag, all, end)
          alarms += expected.length
          expect(alarmsOf(tag, reported, end)).toEqual(expected)
        }),
        { numRuns: runs(60) },
      )
      expect([thinned > 0, alarms > 0]).toEqual([true, true])
    },
  )
})

describe('an edge whose clock is wrong', () => {
  it.each([0, 6_000, -6_000, 6 * 3_600_000, -6 * 3_600_000])(
    'by %i ms has its live alarms all the same, at the time of the gateway',
    offset => {
      const fold = new Fold([file], start)
      // Until the skew is known (here: after three messages) the stamp is all there is; liveness does not hang on it.
      const values = [0.05, 0.05, 0.05, 0.4, 0.4, 0.05, ...Array<number>(40).fill(0.05)]
      for (const [index, value] of values.entries()) {
        const at = start + index * 1_000
        fold.passTo(at)
        const skewMs = index < 3 ? 0 : -offset
        fold.apply({
          kind: 'readings',
          lane: index % 2 ? 'current' : 'copy',
          at,
          skewMs,
          readings: [reading(gas, value, at + offset)],
        })
      }
      fold.passTo(fold.engine.now + 60_000)
      expect(fold.happened('kind', 'appliedAt').slice(0, 1)).toEqual([['RAISE', start + 3_000]])
      expect(fold.happened('kind').flat()).toEqual(['RAISE', 'RTN'])
      const [raise, rtn] = fold.journal.filter(({ alarm }) => alarm !== null)
      expect(raise?.at).toBe(start + 3_000)
      expect(rtn?.at).toBe(start + 35_000)
    },
  )

  it('without a known skew still raises at once', () => {
    const fold = new Fold([file], start)
    fold.passTo(start + 1_000)
    const records = fold.apply({
      kind: 'readings',
      lane: 'copy',
      at: start + 1_000,
      skewMs: 0,
      readings: [reading(gas, 0.5, start - 6 * 3_600_000)],
    })
    expect(records.map(({ kind }) => kind)).toEqual(['RAISE'])
  })
})

describe('a source that was behind', () => {
  const values = fc.array(fc.constantFrom(0.05, 0.05, 0.05, 0.27, 0.35, 0.7), { minLength: 20, maxLength: 150 })

  it('has, once the backlog is through, the state and the occurrences of one that never was', () => {
    fc.assert(
      fc.property(values, fc.nat({ max: 100 }), fc.integer({ min: 1, max: 60 }), (all, cut, lasts) => {
        const from = Math.min(cut, all.length - 2)
        const to = Math.min(from + lasts, all.length - 1)
        const samples = all.map((value, index) => ({ at: start + 10_000 + index * 10_000, value }))
        const normal = new Fold([file], start)
        for (const { at, value } of samples) {
          normal.passTo(at)
          normal.apply({ kind: 'readings', lane: 'current', at, skewMs: 0, readings: [reading(gas, value, at)] })
        }
        const end = (samples.at(-1)?.at ?? 0) + 200_000
        normal.passTo(end)
        // Cut off between `from` and `to`; then a live copy of the newest, and the backlog, oldest first.
        const cutOff = new Fold([file], start)
        for (const [index, { at, value }] of samples.entries()) {
          cutOff.passTo(at)
          if (index === from) cutOff.apply({ kind: 'lost', at, reason: 'edge-offline', tags: [gas] })
          if (index < from || index > to)
            cutOff.apply({ kind: 'readings', lane: 'current', at, skewMs: 0, readings: [reading(gas, value, at)] })
          if (index !== to) continue
          cutOff.apply({ kind: 'readings', lane: 'copy', at, skewMs: 0, readings: [reading(gas, value, at)] })
          for (const late of samples.slice(from, to + 1)) {
            cutOff.apply({
              kind: 'readings',
              lane: 'backlog',
              at,
              skewMs: 0,
              readings: [reading(gas, late.value, late.at)],
            })
          }
        }
        cutOff.passTo(end)
        const [a, b] = [normal.engine.instance(leak), cutOff.engine.instance(leak)]
        expect(b?.state.v).toBe(a?.state.v)
        expect(b?.record).toBeNull()
        expect(b?.state.levels.map(({ c }) => c)).toEqual(a?.state.levels.map(({ c }) => c))
        // No occurrence is hidden: each of the undisturbed run overlaps one that the other journal has.
        const intervals = (fold: Fold) => occurrences(fold, end)
        const seen = intervals(cutOff)
        for (const one of intervals(normal)) {
          expect(seen.some(other => other.from <= one.to && other.to >= one.from)).toBe(true)
        }
      }),
      { numRuns: runs(200) },
    )
  })

  function occurrences(fold: Fold, end: number): { from: number; to: number }[] {
    const found: { from: number; to: number }[] = []
    for (const record of fold.journal) {
      if (record.alarm !== leak) continue
      if (record.kind === 'RAISE') found.push({ from: record.at, to: end })
      const last = found.at(-1)
      if (record.kind === 'REVISED' && record.activeSince !== null && last)
        last.from = Math.min(last.from, record.activeSince)
      if (record.kind === 'RTN' && last) last.to = record.at
      if (record.kind === 'LATE_FINDING') found.unshift({ from: record.activeSince ?? 0, to: record.returnedAt ?? 0 })
    }
    return found
  }
})
