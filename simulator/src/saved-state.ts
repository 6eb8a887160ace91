import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { CitySite } from './city-site.ts'

/** What outlives a restart: tanks, meters, vessels, loggers. */
export interface SavedCity {
  readonly version: 1
  /** ms UTC of the plants */
  readonly at: number
  readonly scenario: string
  /** how far the script had come when the process died; 0 after an orderly stop, then the scenario begins anew */
  readonly elapsedMs: number
  /** places in the scenario of the meters already set, which are not set again */
  readonly metersSet: readonly number[]
  readonly sites: Readonly<Record<string, ReturnType<CitySite['save']>>>
}

/** The saved city, null if there is none yet. @throws PenstockError `config-invalid` when the file is not one */
export async function readState(files: FileLayer, path: string): Promise<SavedCity | null> {
  const bytes = await files.readWhole(path)
  if (!bytes) return null
  try {
    const saved = JSON.parse(Buffer.from(bytes).toString('utf8')) as SavedCity
    if (saved.version === 1 && Number.isFinite(saved.at) && saved.sites !== null) return saved
  } catch {
    // Falls through to the message below.
  }
  throw new PenstockError('config-invalid', {
    text: `${path} is not a saved state of the simulator; remove it to begin with new meters`,
  })
}

export const writeState = (files: FileLayer, path: string, state: SavedCity): Promise<void> =>
  files.replace(path, Buffer.from(JSON.stringify(state)))
