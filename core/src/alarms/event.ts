import type { Effect, RefuseCode } from './journal-record.ts'
import type { AlarmState, Health, LevelState } from './state.ts'

/** A value seen by one level: in the alarm zone, inside the deadband, outside. */
export type Zone = 'T' | 'M' | 'F'

export type AlarmEvent =
  /** `raiseOnly`: an uncertain value may raise, never clear */
  | {
      readonly type: 'sample'
      readonly t: number
      readonly value: number | null
      readonly zones: readonly Zone[]
      readonly raiseOnly: boolean
    }
  | { readonly type: 'unknown'; readonly t: number; readonly health: Health }
  /** delays that end before `upTo`, or at it when not `strict`; `value` is the one held */
  | { readonly type: 'timers'; readonly upTo: number; readonly strict: boolean; readonly value: number | null }
  | ({ readonly type: 'ack'; readonly ann: number } & Command)
  | ({ readonly type: 'reset' } & Command)
  | { readonly type: 'retire'; readonly t: number }
  | { readonly type: 'enable' }
  /** the complete record has caught up: its levels stand */
  | {
      readonly type: 'adopt'
      readonly t: number
      readonly levels: readonly LevelState[]
      readonly activeSince: number | null
      readonly value: number | null
    }
  | {
      readonly type: 'late'
      readonly level: number
      readonly value: number | null
      readonly activeSince: number
      readonly returnedAt: number
    }

export interface Command {
  readonly t: number
  readonly occ: number
  readonly actor: string
  readonly commandId: string
  readonly comment?: string
}

export interface Step {
  readonly state: AlarmState
  readonly effects: readonly Effect[]
  /** set when the event was a command and was not carried out */
  readonly refused: RefuseCode | null
}

export const none = (state: AlarmState): Step => ({ state, effects: [], refused: null })
