import { compileRules } from '@penstock/edge/acquisition/rules.ts'
import { expect, test } from 'vitest'

test('rules that make bad go first; conditions compare Booleans, numbers, lists and "not"', () => {
  const rules = compileRules(
    [
      { when: { tag: 'state', in: [2, 3] }, set: { quality: 'uncertain', reason: 'inhibit' }, tags: ['gas'] },
      { when: { tag: 'fault', is: true }, set: { quality: 'bad', reason: 'device-fault' }, tags: ['gas'] },
      { when: { tag: 'code', not: 0 }, set: { quality: 'uncertain', reason: 'device-warning' }, tags: ['gas'] },
      { when: { tag: 'excluded', is: 1 }, set: { quality: 'bad', reason: 'device-fault' }, tags: ['gas'] },
    ],
    ['gas', 'state', 'fault', 'code'],
  )
  const [gas = []] = rules
  expect(gas.map(rule => rule.reason)).toEqual(['device-fault', 'inhibit', 'device-warning'])
  expect(rules.slice(1)).toEqual([[], [], []])
  const [fault, state, code] = gas
  expect([fault?.holds(true), fault?.holds(false), fault?.holds(1)]).toEqual([true, false, false])
  expect([state?.holds(2), state?.holds(3n), state?.holds(4)]).toEqual([true, true, false])
  expect([code?.holds(7), code?.holds(0), code?.holds(0n)]).toEqual([true, false, false])
})
