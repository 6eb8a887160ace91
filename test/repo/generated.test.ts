import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { generatedFiles } from '../../scripts/generated-files.ts'

const root = join(import.meta.dirname, '../..')

describe('files made from code', () => {
  it('are as `npm run generate` would write them', async () => {
    for (const [path, content] of await generatedFiles()) {
      expect(readFileSync(join(root, path), 'utf8'), `${path}: run npm run generate`).toBe(content)
    }
  })

  it('include the client of the API', () => {
    const web = join(root, 'gateway/web')
    const tool = join(
      dirname(createRequire(join(web, 'package.json')).resolve('openapi-typescript/package.json')),
      'bin/cli.js',
    )
    const made = execFileSync(process.execPath, [tool, '../openapi.json'], {
      cwd: web,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    expect(readFileSync(join(web, 'src/generated/api.ts'), 'utf8').trim(), 'run npm run generate').toBe(made.trim())
  })
})
