import { join } from 'node:path'
import { loadRuleFile } from '@penstock/core/alarms/rule-file.ts'
import { RuleCheck } from '@penstock/gateway/alarms/rule-check.ts'
import type { LiveTag } from '@penstock/gateway/live/table.ts'
import { expect, it } from 'vitest'
import { ManualTime } from '../../support/manual-time.ts'

const { file } = loadRuleFile(join(import.meta.dirname, '../../../demo/rules.yaml'))

const chlorine: LiveTag = {
  ...{ tag: 'waterworks/cl2-1/concentration', edge: 'g/e01', type: 'Float', class: 'alarm', unit: 'ppm' },
  ...{ value: 0, quality: 'good', reason: null, sourceTimestamp: 0, receivedAt: 0, lastGood: null },
  ...{ scanMs: 1000, deadband: null, heartbeatMs: 60_000, resolution: null, modulus: null },
}

it('tells of a rule whose unit is not that of the tags it is for, and forgets it when the tags fit', async () => {
  const time = new ManualTime()
  let tags = [chlorine]
  const rules = [file]
  const check = new RuleCheck({ rules: () => rules, tags: () => tags, ticker: time })
  expect(check.problems()).toEqual([])
  tags = [{ ...chlorine, unit: 'ppb' }]
  await time.advance(30_000)
  expect(check.problems()).toEqual([
    'rule cl2.leak: waterworks/cl2-1/concentration is in "ppb", the rule in "ppm"; units are compared, never converted',
  ])
  tags = [chlorine]
  await time.advance(30_000)
  expect(check.problems()).toEqual([])
})
