import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'

/** Tables of the store. Times are ms UTC. */
export interface Tables {
  /** which box may use the name of an edge */
  hardware: { edge: string; hardware_id: string; bound_at: number }
  /** who took which box into service */
  adoption: { command_id: string; edge: string; hardware_id: string | null; actor: string; at: number }
  /** only the hash of a cookie is kept */
  session: { hash: string; user: string; created_at: number; expires_at: number }
  /** the registry and the rules in effect, so that a broken file at start does not stop the gateway */
  config: { what: string; hash: string; content: string; since: number }
}

/** In order, never changed once released; each runs in one transaction. */
export const migrations: Readonly<Record<string, Migration>> = {
  '0001-begin': {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('hardware')
        .addColumn('edge', 'text', column => column.primaryKey())
        .addColumn('hardware_id', 'text', column => column.notNull())
        .addColumn('bound_at', 'bigint', column => column.notNull())
        .execute()
      await db.schema
        .createTable('adoption')
        .addColumn('command_id', 'text', column => column.primaryKey())
        .addColumn('edge', 'text', column => column.notNull())
        .addColumn('hardware_id', 'text')
        .addColumn('actor', 'text', column => column.notNull())
        .addColumn('at', 'bigint', column => column.notNull())
        .execute()
      await db.schema
        .createTable('session')
        .addColumn('hash', 'text', column => column.primaryKey())
        .addColumn('user', 'text', column => column.notNull())
        .addColumn('created_at', 'bigint', column => column.notNull())
        .addColumn('expires_at', 'bigint', column => column.notNull())
        .execute()
      await db.schema
        .createTable('config')
        .addColumn('what', 'text', column => column.primaryKey())
        .addColumn('hash', 'text', column => column.notNull())
        .addColumn('content', 'text', column => column.notNull())
        .addColumn('since', 'bigint', column => column.notNull())
        .execute()
      await sql`CREATE INDEX session_expiry ON session (expires_at)`.execute(db)
    },
  },
}
