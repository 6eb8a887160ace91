import { type DeliveryClass, deliveryClasses } from '@penstock/core/reading.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'

/** A number for each delivery class. */
export type PerClass<T> = Readonly<Record<DeliveryClass, T>>

export const perClass = <T>(make: (deliveryClass: DeliveryClass) => T): Record<DeliveryClass, T> => ({
  alarm: make('alarm'),
  total: make('total'),
  raw: make('raw'),
})

export interface EpochFile {
  readonly epoch: string
  readonly hardwareId: string
  /** record of the log that is position 0 of this epoch */
  readonly base: PerClass<number>
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * What an outbox is called by: epoch and hardware id, bdSeq and the pinned ledger, each in a file that is replaced durably.
 * Delivery positions count from the base of the epoch, so that a new epoch renumbers without rewriting a record.
 * Source: delivery protocol, what the edge keeps (E1, E4, E5).
 */
export class Identity {
  readonly #files: FileLayer
  readonly #folder: string
  readonly #random: () => number
  #epoch: EpochFile
  #bdSeq: number | null
  #ledger: string | null

  private constructor(
    files: FileLayer,
    folder: string,
    random: () => number,
    loaded: { epoch: EpochFile; bdSeq: number | null; ledger: string | null },
  ) {
    this.#files = files
    this.#folder = folder
    this.#random = random
    this.#epoch = loaded.epoch
    this.#bdSeq = loaded.bdSeq
    this.#ledger = loaded.ledger
  }

  /** `knownEpoch` is null when the folder is new, or its hardware id is another: then `renew` must follow. */
  static async open(
    files: FileLayer,
    folder: string,
    hardwareId: string,
    random: () => number,
  ): Promise<{ identity: Identity; knownEpoch: string | null; why: string | null }> {
    const [epochText, bdSeqText, ledgerText] = await Promise.all(
      ['epoch.json', 'bdseq', 'ledger'].map(name => readText(files, `${folder}/${name}`)),
    )
    const found = parseEpoch(epochText ?? null)
    const same = found?.hardwareId === hardwareId
    const identity = new Identity(files, folder, random, {
      epoch: { epoch: found?.epoch ?? '', hardwareId, base: found?.base ?? perClass(() => 0) },
      bdSeq: parseBdSeq(bdSeqText ?? null),
      ledger: ledgerText?.trim() || null,
    })
    const why = same ? null : found ? `the outbox was made on other hardware (${found.hardwareId})` : 'new outbox'
    return { identity, knownEpoch: same ? found.epoch : null, why }
  }

  get epoch(): string {
    return this.#epoch.epoch
  }

  get hardwareId(): string {
    return this.#epoch.hardwareId
  }

  get base(): PerClass<number> {
    return this.#epoch.base
  }

  get ledger(): string | null {
    return this.#ledger
  }

  /** A new epoch, durable when this resolves; its position 0 is record `base` of each log. */
  async renew(base: PerClass<number>): Promise<void> {
    const epoch = { epoch: random63(this.#random), hardwareId: this.#epoch.hardwareId, base }
    await this.#write('epoch.json', JSON.stringify({ version: 1, ...epoch }))
    this.#epoch = epoch
  }

  /** The bdSeq of the next CONNECT, durable before it is used: 0 to 255, then 0 (tck-id-topics-nbirth-bdseq-increment). */
  async nextBdSeq(): Promise<number> {
    const next = this.#bdSeq === null ? 0 : (this.#bdSeq + 1) % 256
    // on a full disk the number may come again after a power cut; live values and alarms must get out all the same
    await this.#writeUnlessFull('bdseq', `${next}\n`)
    this.#bdSeq = next
    return next
  }

  /** Pins the gateway's ledger; null: the next one that confirms will be pinned. */
  async pin(ledger: string | null): Promise<void> {
    if (ledger === this.#ledger) return
    // on a full disk it holds until the next start: what makes room again is that the gateway confirms
    await this.#writeUnlessFull('ledger', ledger === null ? '' : `${ledger}\n`)
    this.#ledger = ledger
  }

  async #writeUnlessFull(name: string, text: string): Promise<void> {
    try {
      await this.#write(name, text)
    } catch (error) {
      if (!(error instanceof PenstockError && error.code === 'disk-full')) throw error
    }
  }

  #write(name: string, text: string): Promise<void> {
    return this.#files.replace(`${this.#folder}/${name}`, encoder.encode(text))
  }
}

/** What the files say, without opening anything; null: not there, or unreadable. */
export async function peekIdentity(
  files: FileLayer,
  folder: string,
): Promise<{ epoch: EpochFile | null; ledger: string | null }> {
  const [epoch, ledger] = await Promise.all(['epoch.json', 'ledger'].map(name => readText(files, `${folder}/${name}`)))
  return { epoch: parseEpoch(epoch ?? null), ledger: ledger?.trim() || null }
}

export async function readText(files: FileLayer, path: string): Promise<string | null> {
  const bytes = await files.readWhole(path)
  return bytes === null ? null : decoder.decode(bytes)
}

function parseEpoch(text: string | null): EpochFile | null {
  if (text === null) return null
  try {
    const { epoch, hardwareId, base } = JSON.parse(text) as Partial<EpochFile>
    if (typeof epoch !== 'string' || typeof hardwareId !== 'string' || !base) return null
    if (!deliveryClasses.every(name => Number.isSafeInteger(base[name]))) return null
    return { epoch, hardwareId, base }
  } catch {
    return null
  }
}

function parseBdSeq(text: string | null): number | null {
  const value = text === null ? Number.NaN : Number.parseInt(text, 10)
  return value >= 0 && value <= 255 ? value : null
}

/** 63 random bits as a decimal text; 21 bits a draw, so that any source of [0, 1) will do. */
export function random63(random: () => number): string {
  const draw = () => BigInt(Math.floor(random() * 2 ** 21))
  return ((draw() << 42n) | (draw() << 21n) | draw()).toString()
}
