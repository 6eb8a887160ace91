import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { generatedFiles } from '../../scripts/generated-files.ts'

const root = join(import.meta.dirname, '../..')

describe('files made from code', () => {
  it('are as `npm run generate` would write them', async () => {
    for (const [path, content] of await generatedFiles()) {
      expect(readFileSync(join(root, path), 'utf8'), `${path}: run npm run generate`).toBe(content)
    }
  })
})
