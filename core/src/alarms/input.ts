import type { Reading } from '../reading.ts'
import type { RefuseCode } from './journal-record.ts'
import type { RuleFile } from './rule-file.ts'

/**
 * How readings came: `current` in order and newest at once (the normal case), `copy` ahead of a backlog or in a birth,
 * `backlog` in order but late.
 */
export type Lane = 'current' | 'copy' | 'backlog'

/** Commands of operators; `occ` and `ann` name what the operator saw. */
export type EngineCommand =
  | {
      readonly type: 'acknowledge'
      readonly alarm: string
      readonly occ: number
      readonly ann: number
      readonly comment?: string
    }
  | { readonly type: 'reset'; readonly alarm: string; readonly occ: number }
  | { readonly type: 'inhibit'; readonly device: string; readonly until: number; readonly reason: string }
  | { readonly type: 'end-inhibit'; readonly device: string }

/** Everything that can change an alarm. `at` is the gateway's clock, ms UTC. There is no other input. */
export type EngineInput =
  | {
      readonly kind: 'readings'
      readonly lane: Lane
      /** `group/edge` that sent them */
      readonly edge?: string
      readonly at: number
      /** gateway's clock − source clock, ms: added to source times */
      readonly skewMs: number
      readonly readings: readonly Reading[]
    }
  /** Tags that exist, whether or not a reading of them has come: their alarms can be blind from the start. */
  | { readonly kind: 'known'; readonly at: number; readonly tags: readonly string[] }
  /** The session of an edge or the connection to a device has ended: nothing is known of these tags. */
  | {
      readonly kind: 'lost'
      readonly at: number
      readonly reason: 'edge-offline' | 'device-offline'
      readonly tags: readonly string[]
    }
  | { readonly kind: 'edge'; readonly at: number; readonly edge: string; readonly online: boolean }
  | {
      readonly kind: 'command'
      readonly at: number
      readonly commandId: string
      readonly actor: string
      readonly command: EngineCommand
    }
  | { readonly kind: 'rules'; readonly at: number; readonly hash: string; readonly files: readonly RuleFile[] }
  | { readonly kind: 'tick'; readonly at: number }

/** What a command came to; the same command id always has the same answer. */
export type CommandAnswer =
  | { readonly ok: true; readonly alarm: string | null }
  | { readonly ok: false; readonly code: RefuseCode; readonly alarm: string | null }

/** The same for the same command, whatever the order of its keys. */
export const commandKey = (command: EngineCommand): string =>
  JSON.stringify(Object.entries(command).sort(([a], [b]) => (a < b ? -1 : 1)))
