import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

// After an install: builds the console, if its tools were installed (images install without them and copy the built console).
const root = join(import.meta.dirname, '..')
const vite = join(root, 'node_modules/vite/bin/vite.js')
if (existsSync(vite) && existsSync(join(root, 'gateway/web/index.html'))) {
  const { status } = spawnSync(process.execPath, [vite, 'build', '--logLevel', 'warn'], {
    cwd: join(root, 'gateway/web'),
    stdio: 'inherit',
  })
  process.exit(status ?? 1)
}
