import type { DeliveryClass } from '@penstock/core/reading.ts'
import { deliveryClasses } from '@penstock/core/reading.ts'
import { openDurableLog } from '@penstock/core/runtime/durable-log.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { ClassLog } from './class-log.ts'
import { CursorFile, type CursorState } from './cursor-file.ts'
import { Identity, type PerClass, perClass } from './identity.ts'
import { OutboxLogbook } from './logbook.ts'
import type { OutboxOptions } from './outbox-options.ts'
import { Stamps } from './stamps.ts'

export interface OutboxParts {
  readonly identity: Identity
  readonly stamps: Stamps
  readonly classes: PerClass<ClassLog>
  readonly cursors: CursorFile
  readonly logbook: OutboxLogbook
  /** dictionary entries of the unconfirmed segments */
  readonly kinds: PerClass<Set<string>>
}

export interface PartHooks {
  readonly onUnreadable: (name: DeliveryClass, from: number, to: number) => void
  readonly onLoaded: (name: DeliveryClass, error: unknown) => void
}

const smallestSegment = 1024
/** The segments being written are never dropped: with three classes they take at most three eighths of the outbox. */
const segmentsInBounds = 8

/** Opens what an outbox consists of and decides whether it is still the one that the gateway knows (E1, E3). */
export async function openParts(options: OutboxOptions, hooks: PartHooks): Promise<OutboxParts> {
  const { files, folder, hardwareId, random, log, clock, boot, trust } = options
  await files.makeFolder(folder)
  for (const name of deliveryClasses) await files.makeFolder(`${folder}/${name}`)
  const { identity, knownEpoch, why } = await Identity.open(files, folder, hardwareId, random)
  const stamps = await Stamps.open({ files, path: `${folder}/boots.json`, clock, boot, trust })
  const { file: cursors, state } = await CursorFile.open(files, `${folder}/cursors`)
  const opened: Partial<Record<DeliveryClass, ClassLog>> = {}
  let newEpoch = why
  for (const name of deliveryClasses) {
    const { held, confirmed } = await openClass(name, options, hooks, cursorOf(name, identity, knownEpoch, state))
    if (knownEpoch !== null && held.end < confirmed) newEpoch = `class ${name} ends before what was confirmed`
    opened[name] = held
  }
  const { alarm, total, raw } = opened
  if (!alarm || !total || !raw) throw new PenstockError('closed', { what: 'the outbox' })
  const classes: PerClass<ClassLog> = { alarm, total, raw }
  if (newEpoch !== null) {
    await identity.renew(perClass(name => classes[name].cursor))
    log.info({ epoch: identity.epoch, why: newEpoch }, 'new epoch of the outbox')
  }
  const logbook = await OutboxLogbook.open(files, `${folder}/logbook.json`, total)
  const kinds = {
    alarm: await alarm.unconfirmedKinds(),
    total: await total.unconfirmedKinds(),
    raw: await raw.unconfirmedKinds(),
  }
  return { identity, stamps, classes, cursors, logbook, kinds }
}

interface KnownCursor {
  readonly confirmed: number
  readonly tail: number | null
  readonly holes: CursorState['holes']['raw']
}

/** What is known to be confirmed; the cursor of another epoch still tells, in record numbers, what need not go out again. */
function cursorOf(
  name: DeliveryClass,
  identity: Identity,
  knownEpoch: string | null,
  state: CursorState | null,
): KnownCursor {
  const base = knownEpoch === null ? 0 : identity.base[name]
  const confirmed = state?.cursor[name] ?? base
  const same = knownEpoch !== null && state?.epoch === knownEpoch
  return {
    confirmed: same ? Math.max(confirmed, base) : knownEpoch === null ? confirmed : base,
    tail: same && confirmed >= base ? (state?.tail[name] ?? null) : null,
    holes: state?.holes[name] ?? [],
  }
}

async function openClass(
  name: DeliveryClass,
  options: OutboxOptions,
  hooks: PartHooks,
  { confirmed, tail, holes }: KnownCursor,
): Promise<{ held: ClassLog; confirmed: number }> {
  const { files, folder, limits, log, rules } = options
  const durable = await openDurableLog({
    folder: `${folder}/${name}`,
    files,
    segmentBytes: Math.max(
      smallestSegment,
      Math.min(limits.segmentBytes, Math.floor(limits.maxBytes / segmentsInBounds)),
    ),
    onDamage: damage => log.warn({ class: name, ...damage }, 'the outbox has a damaged place'),
  })
  const held = new ClassLog({
    name,
    log: durable,
    cursor: Math.min(confirmed, durable.end),
    tail: confirmed <= durable.end ? tail : null,
    holes,
    fsyncBeforePublish: rules?.fsyncBeforePublish !== false,
    onUnreadable: (from, to) => hooks.onUnreadable(name, from, to),
    onLoaded: error => hooks.onLoaded(name, error),
  })
  return { held, confirmed }
}
