import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { GatewayFile } from '../config/gateway-file.ts'
import type { Historian } from '../historian/historian.ts'
import type { Bucket } from '../historian/rollup-block.ts'
import type { AlarmCommand, EdgeKey } from '../ingest/record.ts'
import type { LiveEdge, LiveTag } from '../live/table.ts'
import type { Configuration } from '../registry/configuration.ts'
import type { Store } from '../store/store.ts'
import type { AlarmBody, JournalBody } from './contract/alarms.ts'
import type { StatusBody } from './contract/status.ts'

/** The newest values, as the pages read them. */
export interface LiveView {
  readonly version: number
  get(tag: string, now: number): LiveTag | undefined
  all(now: number): Iterable<LiveTag>
  /** Tags changed after `version`, oldest change first. */
  changesSince(version: number, now: number): { readonly version: number; readonly tags: readonly LiveTag[] }
  diagnosis(edge: string, device: string): DeviceDiagnosis | undefined
}

export interface EdgesView {
  list(): readonly LiveEdge[]
  /** Takes the edge into service; resolves when that is durable. */
  adopt(edge: EdgeKey, hardwareId: string | null): Promise<void>
}

export interface JournalQuery {
  readonly alarm?: string
  readonly from?: number
  readonly to?: number
  readonly before?: number
  readonly limit: number
}

/** How a command ended. `moved`: the alarm was announced anew since (occ, ann say how it stands now). */
export type CommandOutcome =
  | { readonly status: 'done' }
  | { readonly status: 'moved'; readonly occ: number; readonly ann: number }
  | { readonly status: 'unknown' }
  | { readonly status: 'id-used' }
  /** an inhibit that is longer than `limit` (in words) from its beginning on, or ends in the past */
  | { readonly status: 'inhibit-too-long'; readonly limit: string }
  /** `reason`: the code in the journal, `text`: the same in words */
  | { readonly status: 'refused'; readonly reason: string; readonly text: string }

export interface AlarmsView {
  /** all alarms that exist, open or not */
  list(): readonly AlarmBody[]
  find(id: string): AlarmBody | undefined
  inhibits(): ReadonlyMap<string, { readonly until: number; readonly reason: string; readonly by: string }>
  journal(query: JournalQuery): Promise<{ records: readonly JournalBody[]; next: number | null }>
  /** Resolves when the command has taken effect, or was refused, durably. */
  submit(command: AlarmCommand, actor: string, commandId: string): Promise<CommandOutcome>
  onChange(listener: (ids: readonly string[]) => void): () => void
}

/** What the HTTP server shows and commands; `gateway.ts` puts it together. */
export interface HttpParts {
  readonly http: GatewayFile['http']
  readonly clock: Clock
  readonly ticker: Ticker
  readonly log: Logger
  readonly live: LiveView
  readonly edges: EdgesView
  readonly alarms: AlarmsView
  readonly historian: Historian & { trend(tag: string, from: number, to: number, stepMs: number): Promise<Bucket[]> }
  readonly configuration: Configuration
  readonly store: Store
  readonly status: () => Omit<StatusBody, 'now' | 'config'>
  /** why readings are not taken in and stored, by check; null: fine */
  readonly readiness: () => Readonly<Record<string, string | null>>
  /** Prometheus text */
  readonly metrics: () => Promise<string>
  /** folder of the built console; null: a plain page with a hint */
  readonly consoleFolder: string | null
}
