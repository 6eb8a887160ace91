import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { CitySite } from './city-site.ts'

/** What outlives a restart: tanks, meters, vessels, loggers, and how far the script has come. */
export interface SavedCity {
  readonly version: 1
  /** ms UTC of the plants */
  readonly at: number
  readonly scenario: string
  /** how far the script had come when the process died; 0 after an orderly stop, then the scenario begins anew */
  readonly elapsedMs: number
  /** places in the scenario of the meters already set, which are not set again: totals never go back by a restart */
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

const saveEveryMs = 1000

/** Saves the city every second and at the end, each time as a whole and durably. */
export class StateKeeper {
  readonly #path: string
  readonly #files: FileLayer
  readonly #ticker: Ticker
  readonly #log: Logger
  readonly #take: (stopping: boolean) => SavedCity
  #cancel: Cancel = () => {}
  #saving: Promise<void> = Promise.resolve()
  #closed = false

  constructor(
    path: string,
    deps: { files: FileLayer; ticker: Ticker; log: Logger },
    take: (stopping: boolean) => SavedCity,
  ) {
    this.#path = path
    this.#files = deps.files
    this.#ticker = deps.ticker
    this.#log = deps.log
    this.#take = take
  }

  start(): void {
    this.#cancel = this.#ticker.after(saveEveryMs, () => {
      this.#saving = this.#save(false).catch((error: unknown) => {
        this.#log.warn({ err: error, path: this.#path }, 'the state of the city was not saved; trying again')
      })
      void this.#saving.then(() => {
        if (!this.#closed) this.start()
      })
    })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#cancel()
    await this.#saving
    await this.#save(true)
  }

  #save(stopping: boolean): Promise<void> {
    return this.#files.replace(this.#path, Buffer.from(JSON.stringify(this.#take(stopping))))
  }
}
