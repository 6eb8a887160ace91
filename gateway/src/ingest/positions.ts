import { type DeliveryClass, deliveryClasses } from '@penstock/core/reading.ts'
import type { EdgeEntry, EdgeKey } from './record.ts'
import type { StoredEntry } from './record-codec.ts'

/** How far one class of one epoch has come. */
export interface ClassPosition {
  /** first position that the inbox does not have */
  next: number
  /** crc of batch next − 1; null when that batch was lost or none came yet */
  tail: number | null
  /** the same two, as of the last commit: what may be confirmed */
  committedNext: number
  committedTail: number | null
  syncingNext: number
  syncingTail: number | null
  dirty: boolean
}

export type EpochPositions = Readonly<Record<DeliveryClass, ClassPosition>>

export interface FoldedDevice {
  online: boolean
  tags: readonly string[]
}

/** What the inbox says about one edge. */
export interface FoldedEdge {
  online: boolean
  adopted: boolean
  /** batches in declared losses */
  lost: number
  /** in the order of first contact */
  readonly epochs: Map<string, EpochPositions>
  readonly devices: Map<string, FoldedDevice>
}

const maxEpochs = 64

const newPosition = (next = 0, tail: number | null = null): ClassPosition => ({
  next,
  tail,
  committedNext: next,
  committedTail: tail,
  syncingNext: next,
  syncingTail: tail,
  dirty: false,
})

const newEdge = (): FoldedEdge => ({ online: false, adopted: false, lost: 0, epochs: new Map(), devices: new Map() })

/**
 * `next` and `tail` of every edge, epoch and class, adopted edges, and who is online: a fold over the inbox and nothing else
 * (delivery protocol, G2). `apply` is called for each entry as it is appended; `beginCommit` and `endCommit` around each sync.
 */
export class Positions {
  readonly #edges = new Map<EdgeKey, FoldedEdge>()
  #dirty: ClassPosition[] = []
  #syncing: ClassPosition[] = []

  apply(entry: StoredEntry): void {
    switch (entry.kind) {
      case 'batch':
        // A source without positions counts by key.
        if (entry.epoch !== '') this.#move(this.#of(entry.edge, entry.epoch)[entry.class], entry.pos + 1, entry.crc)
        break
      case 'loss':
        // With a reason it is the edge's account of a loss; what was really lost is known by the hole that the gateway saw.
        if (entry.reason === null) {
          this.#edge(entry.edge).lost += entry.to - entry.from
          this.#move(this.#of(entry.edge, entry.epoch)[entry.class], entry.to, null)
        }
        break
      case 'edge':
        this.#applyEdge(entry)
        break
      case 'checkpoint':
        this.restore(entry.state)
        break
    }
  }

  /** Positions of an epoch, or undefined if nothing of it was ever appended. */
  find(edge: EdgeKey, epoch: string): EpochPositions | undefined {
    return this.#edges.get(edge)?.epochs.get(epoch)
  }

  edge(edge: EdgeKey): FoldedEdge | undefined {
    return this.#edges.get(edge)
  }

  edges(): ReadonlyMap<EdgeKey, FoldedEdge> {
    return this.#edges
  }

  /** What was applied so far is being synced. */
  beginCommit(): void {
    for (const position of this.#dirty) {
      position.syncingNext = position.next
      position.syncingTail = position.tail
      position.dirty = false
    }
    this.#syncing.push(...this.#dirty)
    this.#dirty = []
  }

  /** What was applied before `beginCommit` is on the disk. Not called when the sync failed: the next one covers it too. */
  endCommit(): void {
    for (const position of this.#syncing) {
      position.committedNext = position.syncingNext
      position.committedTail = position.syncingTail
    }
    this.#syncing = []
  }

  /** JSON of the fold; `withTags` adds devices and tags, which births bring again anyway. */
  serialise(withTags: boolean): string {
    return JSON.stringify(
      [...this.#edges].map(([edge, { online, adopted, lost, epochs, devices }]) => ({
        edge,
        online,
        adopted,
        lost,
        epochs: [...epochs].map(([epoch, classes]) => [
          epoch,
          deliveryClasses.map(name => [classes[name].next, classes[name].tail]),
        ]),
        ...(withTags ? { devices: [...devices].map(([device, state]) => [device, state.online, state.tags]) } : {}),
      })),
    )
  }

  /** Replaces the fold by a serialised one. @throws SyntaxError | TypeError when it is not one */
  restore(state: string): void {
    const saved = (JSON.parse(state) as SavedEdge[]).map(edge => restoreEdge(edge, this.#edges.get(edge.edge)))
    this.#edges.clear()
    for (const [edge, folded] of saved) this.#edges.set(edge, folded)
    this.#dirty = []
    this.#syncing = []
  }

  #applyEdge(entry: EdgeEntry): void {
    const edge = this.#edge(entry.edge)
    const { device, event } = entry
    if (event === 'online' || event === 'offline') edge.online = event === 'online'
    else if (event === 'adopted') edge.adopted = true
    else if (device !== null) edge.devices.set(device, { online: event === 'device-online', tags: entry.tags })
    if (event === 'offline') for (const state of edge.devices.values()) state.online = false
  }

  #move(position: ClassPosition, next: number, tail: number | null): void {
    position.next = next
    position.tail = tail
    if (position.dirty) return
    position.dirty = true
    this.#dirty.push(position)
  }

  #edge(key: EdgeKey): FoldedEdge {
    let edge = this.#edges.get(key)
    if (!edge) {
      edge = newEdge()
      this.#edges.set(key, edge)
    }
    return edge
  }

  #of(key: EdgeKey, epoch: string): EpochPositions {
    const { epochs } = this.#edge(key)
    let positions = epochs.get(epoch)
    if (!positions) {
      positions = { alarm: newPosition(), total: newPosition(), raw: newPosition() }
      epochs.set(epoch, positions)
      const [oldest] = epochs.keys()
      if (epochs.size > maxEpochs && oldest !== undefined) epochs.delete(oldest)
    }
    return positions
  }
}

interface SavedEdge {
  readonly edge: EdgeKey
  readonly online: boolean
  readonly adopted: boolean
  readonly lost: number
  readonly epochs: readonly [epoch: string, classes: readonly (readonly [next: number, tail: number | null])[]][]
  readonly devices?: readonly [device: string, online: boolean, tags: string[]][]
}

function restoreEdge(saved: SavedEdge, known: FoldedEdge | undefined): [EdgeKey, FoldedEdge] {
  const position = (at: readonly [number, number | null] | undefined) => newPosition(at?.[0], at?.[1] ?? null)
  const devices = saved.devices?.map(([device, online, tags]) => [device, { online, tags }] as const)
  return [
    saved.edge,
    {
      online: saved.online,
      adopted: saved.adopted,
      lost: saved.lost,
      epochs: new Map(
        saved.epochs.map(([epoch, [alarm, total, raw]]) => [
          epoch,
          { alarm: position(alarm), total: position(total), raw: position(raw) },
        ]),
      ),
      devices: devices ? new Map(devices) : (known?.devices ?? new Map()),
    },
  ]
}
