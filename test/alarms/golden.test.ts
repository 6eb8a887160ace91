import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { GoldenSchema, runGolden, variants } from '@penstock/core/alarms/golden.ts'
import { loadRuleFile } from '@penstock/core/alarms/rule-file.ts'
import { parseConfig } from '@penstock/core/runtime/config-file.ts'
import { describe, expect, it } from 'vitest'

const folder = join(import.meta.dirname, 'golden')
const suites = readdirSync(folder)
  .filter(name => name.endsWith('.yaml') && name !== 'rules.yaml')
  .map(name => parseConfig(name, readFileSync(join(folder, name), 'utf8'), GoldenSchema).value)

describe.each(suites)('$suite', ({ rules, start, tests }) => {
  const files = rules.map(name => loadRuleFile(join(folder, name)).file)
  describe.each(tests)('$name', test => {
    it.each(variants)('%s', variant => {
      expect(runGolden(test, files, Date.parse(start), variant)).toEqual([])
    })
  })
})
