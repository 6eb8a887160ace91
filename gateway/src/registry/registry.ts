import type { EdgeKey } from '../ingest/record.ts'

/** What ingest asks about who may deliver. Adopted edges are the inbox's matter, hardware bindings the store's. */
export interface EdgeRegistry {
  /** null: nobody registered the edge */
  edge(group: string, id: string): { readonly hardwareId: string | null } | null
  /** The hardware id that was bound to an edge, registered or adopted; null: none yet. */
  boundHardware(edge: EdgeKey): string | null
  /** Binds a hardware id to an edge, durably; replaces an earlier one. */
  bindHardware(edge: EdgeKey, hardwareId: string): void
  /** Group of a registered site; null: not registered, anybody may deliver for it. */
  groupOfSite(site: string): string | null
}
