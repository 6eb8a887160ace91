import type { Payload } from '@penstock/core/sparkplug/payload.ts'
import type { DeviceVerb, NodeVerb } from '@penstock/core/sparkplug/topics.ts'
import type { Admission, Refusal } from './admission.ts'
import type { DeliveryRules } from './batch-lane.ts'
import type { Inbox } from './inbox.ts'
import type { Instant } from './instant.ts'
import { LiveLane, type LiveLaneContext } from './live-lane.ts'
import { Presence } from './presence.ts'
import { RebirthLimit } from './rebirth-limit.ts'
import type { EdgeKey } from './record.ts'
import { Skew } from './skew.ts'

/** What all edges share. */
export interface IntakeContext extends LiveLaneContext {
  readonly inbox: Pick<Inbox, 'append' | 'positions' | 'takesBatches' | 'takesLive'>
  readonly admission: Admission
  readonly rules: DeliveryRules
  /** ledger of this gateway */
  readonly ledger: string
  /** so long a message that is missing in the sequence may be late (tck-id-operational-behavior-host-reordering-param) */
  readonly reorderMs: number
  /** something is wrong with what came; `place` is the topic */
  readonly note: (kind: string, place: string, what: string) => void
}

/** Verbs that a host application reads. */
export type EdgeVerb = Exclude<NodeVerb, 'NCMD'> | Exclude<DeviceVerb, 'DCMD'>

/** What is known of one edge beyond its sessions. */
export class EdgeState {
  readonly edge: EdgeKey
  readonly group: string
  readonly id: string
  readonly skew = new Skew()
  readonly rebirth = new RebirthLimit()
  readonly presence: Presence
  readonly liveLane: LiveLane
  /** why nothing of it is taken into the inbox; null: it is */
  refusal: Refusal | null = 'unknown-edge'
  hardwareId: string | null = null
  software: string | null = null
  epoch: string | null = null
  limitsHash = ''
  lagMs: number | null = null
  /** batches went into the inbox and are not committed yet */
  waitsForCommit = false
  readonly #context: IntakeContext

  constructor(group: string, id: string, context: IntakeContext, now: number) {
    this.edge = `${group}/${id}`
    this.group = group
    this.id = id
    this.#context = context
    this.liveLane = new LiveLane(this.edge, context)
    this.presence = new Presence(this.edge, context.inbox, context.live, now)
  }

  get isRegistered(): boolean {
    return this.#context.admission.isRegistered(this.group, this.id)
  }

  measureSkew(payload: Payload, at: Instant): void {
    if (payload.timestamp !== undefined) this.skew.add(at.now, payload.timestamp)
  }

  malformed(place: string, problem: string): void {
    this.#context.counters.malformed++
    this.#context.note('malformed', `${this.edge} ${place}`, problem)
  }
}
