import { randomUUID } from 'node:crypto'
import type { FileLayer } from '@penstock/core/runtime/files.ts'

interface StoredIdentity {
  readonly ledger: string
  /** timestamps of STATE that this store issued, per host id, oldest first */
  readonly issued: Readonly<Record<string, readonly number[]>>
}

const kept = 16

/**
 * Who this gateway is to its edges: the ledger, a UUID made with the store (delivery protocol, G1), and the timestamps of its
 * STATE messages (G4). One small file, part of every backup: a gateway with another ledger is obeyed by no edge.
 */
export class Identity {
  readonly #path: string
  readonly #files: FileLayer
  #stored: StoredIdentity

  private constructor(path: string, files: FileLayer, stored: StoredIdentity) {
    this.#path = path
    this.#files = files
    this.#stored = stored
  }

  /**
   * Reads the file, or makes it with a new ledger.
   * @throws Error when there is a file that cannot be read: a new ledger in its place would be obeyed by no edge
   */
  static async open(folder: string, files: FileLayer, newLedger: () => string = randomUUID): Promise<Identity> {
    const path = `${folder}/identity.json`
    await files.makeFolder(folder)
    const bytes = await files.readWhole(path)
    if (bytes) return new Identity(path, files, parse(path, bytes))
    const identity = new Identity(path, files, { ledger: newLedger(), issued: {} })
    await identity.#save()
    return identity
  }

  get ledger(): string {
    return this.#stored.ledger
  }

  /** The last timestamps of STATE that were issued under the host id. */
  issued(hostId: string): readonly number[] {
    return this.#stored.issued[hostId] ?? []
  }

  /**
   * A timestamp for STATE, larger than every earlier one and not below `atLeast`, on the disk before it is used.
   * @throws PenstockError `disk-full` | `disk-failed`; the timestamp is issued all the same, see `issued`
   */
  async nextTimestamp(hostId: string, now: number, atLeast: number): Promise<number> {
    const issued = this.issued(hostId)
    const timestamp = Math.max(Math.floor(now), (issued.at(-1) ?? 0) + 1, atLeast)
    const next = [...issued, timestamp].slice(-kept)
    this.#stored = { ...this.#stored, issued: { ...this.#stored.issued, [hostId]: next } }
    await this.#save()
    return timestamp
  }

  #save(): Promise<void> {
    return this.#files.replace(this.#path, new TextEncoder().encode(`${JSON.stringify(this.#stored)}\n`))
  }
}

function parse(path: string, bytes: Uint8Array): StoredIdentity {
  try {
    const { ledger, issued } = JSON.parse(new TextDecoder().decode(bytes)) as StoredIdentity
    if (typeof ledger === 'string' && ledger !== '' && typeof issued === 'object') return { ledger, issued }
  } catch {
    // said below
  }
  throw new Error(`${path} is damaged; put it back from a backup, or every edge has to be told to trust a new ledger`)
}
