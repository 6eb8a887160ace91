import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'

/** Editors write a file in several steps; it is read when it has been quiet for this long. */
const quietMs = 300

/**
 * Calls `changed` after one of the files was written or replaced. Watches the folders, because most editors put a new file
 * in the place of the old one. Where watching is not possible, reloading by signal and by request remains.
 */
export function watchFiles(files: readonly string[], ticker: Ticker, log: Logger, changed: () => void): () => void {
  const watchers: FSWatcher[] = []
  let cancel: Cancel = () => undefined
  const touched = () => {
    cancel()
    cancel = ticker.after(quietMs, changed)
  }
  const names = new Map<string, Set<string>>()
  for (const file of files) {
    const folder = dirname(file)
    names.set(folder, (names.get(folder) ?? new Set()).add(basename(file)))
  }
  for (const [folder, wanted] of names) {
    try {
      const watcher = watch(folder, (_, name) => {
        if (name === null || wanted.has(name)) touched()
      })
      watcher.on('error', error => log.warn({ err: error, folder }, 'the folder is no longer watched'))
      watchers.push(watcher)
    } catch (error) {
      log.warn({ err: error, folder }, 'the folder cannot be watched; reload by SIGHUP or POST /api/v1/reload')
    }
  }
  return () => {
    cancel()
    for (const watcher of watchers) watcher.close()
  }
}
