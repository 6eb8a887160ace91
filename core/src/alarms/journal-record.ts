import type { Priority, StateName } from './state.ts'

/** Kinds of journal records; the list grows, the meaning of one never changes. */
export const journalKinds = [
  'RAISE', // an occurrence begins
  'LEVEL', // another level of the same occurrence
  'RTN', // the condition has returned to normal
  'ACK',
  'RESET', // a latch was opened
  'REFUSE', // a command that was not carried out, with the reason
  'INHIBIT', // a detector is in calibration: by an operator, or by its own word
  'END_INHIBIT',
  'CONFIG', // rules took effect; with an alarm: what they did to it
  'LATE_FINDING', // an occurrence that was over before the gateway could know
  'REVISED', // the complete record says otherwise than the live values did
  'DOWN', // the engine did not run from `activeSince` to `at`
  'CLOCK', // the gateway's clock was set back
] as const
export type JournalKind = (typeof journalKinds)[number]

/** Rows of the transition table (docs/alarms.md); V1 and V2 come from the complete record after an outage. */
export type TransitionId =
  | 'C1'
  | 'C2'
  | 'C3'
  | 'C4'
  | 'C5'
  | 'C6'
  | 'C7'
  | 'C8'
  | 'C9'
  | 'C10'
  | 'C11'
  | 'C12'
  | 'C13'
  | 'Q1'
  | 'Q4'
  | 'Q5'
  | 'K1'
  | 'K2'
  | 'K3'
  | 'L1'
  | 'L2'
  | 'E3'
  | 'E4'
  | 'B1'
  | 'V1'
  | 'V2'

/** Why a command was not carried out. */
export type RefuseCode =
  | 'stale_ack' // announced anew since, or an older occurrence: the operator has not seen the present one
  | 'unknown_alarm'
  | 'unknown_occurrence'
  | 'active' // a latch cannot be reset while the condition lasts
  | 'unacknowledged' // acknowledge first, then reset
  | 'not_latched'
  | 'record_missing' // the rule demands a response record first
  | 'unknown_device'
  | 'in_the_past'
  | 'too_long' // longer than an inhibit may last
  | 'not_inhibited'
  | 'command_id_reused' // the same command id with another command

/** What a step wants written, before the engine adds who, where and when it was applied. */
export interface Effect {
  readonly kind: JournalKind
  readonly cause: TransitionId | null
  /** event time: when it was so at the source, ms UTC by the gateway's clock */
  readonly at: number
  /** sent to people: a new announcement, a return, an acknowledge; false: for the record only */
  readonly announce: boolean
  readonly before: StateName
  readonly after: StateName
  readonly level: number
  readonly fromLevel?: number
  readonly occ: number
  readonly ann: number
  readonly value: number | null
  readonly activeSince?: number | null
  readonly returnedAt?: number | null
  readonly late?: boolean
  readonly count?: number
  readonly actor?: string
  readonly commandId?: string
  readonly comment?: string
  readonly reason?: string
}

/**
 * One line of the journal. `position` and `index` name the inbox entry that caused it and its place among the records
 * of that entry: together they are unique and rising, so that a replay appends only what is missing.
 */
export interface JournalRecord {
  readonly kind: JournalKind
  readonly position: number
  readonly index: number
  readonly at: number
  /** engine clock when it was applied, ms UTC */
  readonly appliedAt: number
  readonly lane: 'live' | 'record'
  readonly cause: TransitionId | null
  readonly announce: boolean
  /** `rule@source`, null for records about a device or the engine */
  readonly alarm: string | null
  readonly rule: string | null
  /** content hash of the rule as compiled */
  readonly ruleHash: string | null
  /** tag `site/device/tag`, device `site/device` or edge `group/edge` */
  readonly source: string | null
  readonly priority: Priority | null
  readonly level: string | null
  readonly fromLevel: string | null
  readonly before: StateName | null
  readonly after: StateName | null
  readonly occ: number | null
  readonly ann: number | null
  readonly value: number | null
  readonly limit: number | null
  readonly unit: string | null
  /** reason of the reading (quality rules, inhibit), or refuse code, or why */
  readonly reason: string | null
  readonly activeSince: number | null
  readonly returnedAt: number | null
  /** found in a backlog after it was over */
  readonly late: boolean
  readonly count: number
  readonly actor: string | null
  readonly commandId: string | null
  readonly comment: string | null
  readonly text: { readonly zh: string; readonly en: string } | null
  readonly route: string | null
}
