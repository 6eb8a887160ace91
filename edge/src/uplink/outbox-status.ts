import { stat } from 'node:fs/promises'
import type { DeliveryClass } from '@penstock/core/reading.ts'
import { parseSegmentName } from '@penstock/core/runtime/durable-log-format.ts'
import { scanLastSegment } from '@penstock/core/runtime/durable-log-scan.ts'
import { asBuffer } from '@penstock/core/runtime/durable-log-segment.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import { CursorFile, type CursorState } from './cursor-file.ts'
import { type EpochFile, peekIdentity, perClass } from './identity.ts'

interface ClassStatus {
  /** records on the disk, and those of them that the gateway has not confirmed */
  readonly held: number
  readonly unconfirmed: number
  readonly bytes: number
}

export interface OutboxStatus {
  /** null: the epoch file cannot be read, the next start begins a new epoch */
  readonly epoch: string | null
  readonly ledger: string | null
  readonly hardwareId: string | null
  readonly bytes: number
  readonly classes: Readonly<Record<DeliveryClass, ClassStatus>>
}

/** What the outbox in `folder` holds, read without opening it: nothing is made, mended or renewed. Null: there is none. */
export async function readOutboxStatus(files: FileLayer, folder: string): Promise<OutboxStatus | null> {
  const { epoch, ledger } = await peekIdentity(files, folder)
  const { state } = await CursorFile.open(files, `${folder}/cursors`)
  const [alarm, total, raw] = await Promise.all([
    readClass(files, folder, 'alarm', epoch, state),
    readClass(files, folder, 'total', epoch, state),
    readClass(files, folder, 'raw', epoch, state),
  ])
  const classes = perClass(name => ({ alarm, total, raw })[name])
  const bytes = alarm.bytes + total.bytes + raw.bytes
  if (epoch === null && bytes === 0) return null
  return { epoch: epoch?.epoch ?? null, ledger, hardwareId: epoch?.hardwareId ?? null, bytes, classes }
}

async function readClass(
  files: FileLayer,
  outbox: string,
  name: DeliveryClass,
  epoch: EpochFile | null,
  state: CursorState | null,
): Promise<ClassStatus> {
  const folder = `${outbox}/${name}`
  const segments = (await files.list(folder)).flatMap(file => {
    const parsed = parseSegmentName(file)
    return parsed && !parsed.damaged ? [{ path: `${folder}/${file}`, ...parsed }] : []
  })
  segments.sort((a, b) => a.serial - b.serial)
  const last = segments.at(-1)
  if (!last) return { held: 0, unconfirmed: 0, bytes: 0 }
  // A running edge may have taken it away since it was listed.
  const content = await files.readWhole(last.path)
  const end = content ? scanLastSegment(asBuffer(content), last.first).end : last.first
  const first = Math.min(...segments.map(segment => segment.first))
  const base = epoch?.base[name] ?? 0
  const confirmed = Math.max(base, state && state.epoch === epoch?.epoch ? state.cursor[name] : base)
  const sizes = await Promise.all(
    segments.map(({ path }) =>
      stat(path).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  )
  return {
    held: end - first,
    unconfirmed: end - Math.min(Math.max(confirmed, first), end),
    bytes: sizes.reduce((sum, size) => sum + size, 0),
  }
}
