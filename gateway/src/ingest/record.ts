import type { DeliveryClass, Reading } from '@penstock/core/reading.ts'

/** `group/edge` */
export type EdgeKey = string

/**
 * What can change state at the gateway. Everything enters through the inbox, in order of arrival; the position in the inbox
 * orders all effects. `receivedAt` and `at` are the gateway's clock, ms UTC.
 */
export type InboxEntry =
  | BatchEntry
  | LossEntry
  | LiveEntry
  | EdgeEntry
  | CommandEntry
  | ConfigEntry
  | { readonly kind: 'tick'; readonly at: number }

/** One batch of the durable lane: feeds accounts, historian, record lane of the alarms. */
export interface BatchEntry {
  readonly kind: 'batch'
  readonly edge: EdgeKey
  readonly epoch: string
  readonly class: DeliveryClass
  readonly from: number
  readonly pos: number
  readonly crc: number
  readonly receivedAt: number
  /** receivedAt − source clock of the edge, as measured (F6); add to a source time to get the gateway's time */
  readonly skewMs: number
  /** false for a batch whose newest values went out before (backlog) */
  readonly live: boolean
  readonly readings: readonly Reading[]
}

/** Positions that will never come. `reason` is null until the edge's own record of it arrives. */
export interface LossEntry {
  readonly kind: 'loss'
  readonly edge: EdgeKey
  readonly epoch: string
  readonly class: DeliveryClass
  readonly from: number
  readonly to: number
  readonly receivedAt: number
  readonly reason: string | null
  readonly firstMs: number | null
  readonly lastMs: number | null
}

/** Values of births and live copies that an alarm rule reads: the live lane. Never counted, never in accounts. */
export interface LiveEntry {
  readonly kind: 'live'
  readonly edge: EdgeKey
  readonly receivedAt: number
  readonly skewMs: number
  readonly readings: readonly Reading[]
}

/** An edge or device came or went; while offline its tags are `bad` with reason `edge-offline` or `device-offline`. */
export interface EdgeEntry {
  readonly kind: 'edge'
  readonly edge: EdgeKey
  readonly event: 'online' | 'offline' | 'device-online' | 'device-offline' | 'adopted'
  readonly device: string | null
  /** tags `site/device/tag` concerned by a device event or an offline */
  readonly tags: readonly string[]
  readonly at: number
}

export interface CommandEntry {
  readonly kind: 'command'
  /** chosen by the client; the same id has the same answer */
  readonly commandId: string
  /** authenticated user, or `system` */
  readonly actor: string
  readonly at: number
  readonly command: AlarmCommand
}

/** Commands to the alarm engine; `occ` and `ann` name what the operator saw. */
export type AlarmCommand =
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

/** A registry or rule file took effect. `content` is the parsed file as JSON. */
export interface ConfigEntry {
  readonly kind: 'config'
  readonly what: 'registry' | 'rules'
  readonly hash: string
  readonly content: string
  readonly at: number
}

export interface InboxRecord {
  readonly position: number
  readonly entry: InboxEntry
}
