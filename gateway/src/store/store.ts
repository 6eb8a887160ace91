import { PenstockError } from '@penstock/core/runtime/errors.ts'
import Database from 'better-sqlite3'
import { Kysely, SqliteDialect } from 'kysely'
import { Migrator } from 'kysely/migration'
import { migrations, type Tables } from './schema.ts'

export interface StoredSession {
  readonly user: string
  readonly createdAt: number
  readonly expiresAt: number
}

export interface StoredConfig {
  readonly hash: string
  /** JSON of the checked file */
  readonly content: string
  readonly since: number
}

export interface Adoption {
  readonly commandId: string
  readonly edge: string
  readonly hardwareId: string | null
  readonly actor: string
  readonly at: number
}

/** The store of what is neither reading nor alarm: SQLite, every commit synced; all queries go through Kysely. */
export class Store {
  readonly #sqlite: Database.Database
  readonly #db: Kysely<Tables>
  readonly #hardware: Map<string, string>
  #closed = false

  private constructor(sqlite: Database.Database, db: Kysely<Tables>, hardware: Map<string, string>) {
    this.#sqlite = sqlite
    this.#db = db
    this.#hardware = hardware
  }

  /** @throws PenstockError `data-newer` if a newer version wrote the file */
  static async open(path: string): Promise<Store> {
    const sqlite = new Database(path)
    sqlite.pragma('journal_mode = WAL')
    // WAL of better-sqlite3 would otherwise be NORMAL and lose acknowledged rows in a power cut.
    sqlite.pragma('synchronous = FULL')
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: sqlite }) })
    try {
      await migrate(db, path)
      const rows = await db.selectFrom('hardware').select(['edge', 'hardware_id']).execute()
      return new Store(sqlite, db, new Map(rows.map(row => [row.edge, row.hardware_id])))
    } catch (error) {
      await db.destroy()
      throw error
    }
  }

  boundHardware(edge: string): string | null {
    return this.#hardware.get(edge) ?? null
  }

  /** Durable when it returns. */
  bindHardware(edge: string, hardwareId: string, at: number): void {
    const query = this.#db
      .insertInto('hardware')
      .values({ edge, hardware_id: hardwareId, bound_at: at })
      .onConflict(conflict => conflict.column('edge').doUpdateSet({ hardware_id: hardwareId, bound_at: at }))
      .compile()
    this.#sqlite.prepare(query.sql).run(...query.parameters)
    this.#hardware.set(edge, hardwareId)
  }

  async adoption(commandId: string): Promise<Adoption | null> {
    const row = await this.#db.selectFrom('adoption').selectAll().where('command_id', '=', commandId).executeTakeFirst()
    if (!row) return null
    return { commandId, edge: row.edge, hardwareId: row.hardware_id, actor: row.actor, at: row.at }
  }

  async addAdoption({ commandId, edge, hardwareId, actor, at }: Adoption): Promise<void> {
    await this.#db
      .insertInto('adoption')
      .values({ command_id: commandId, edge, hardware_id: hardwareId, actor, at })
      .onConflict(conflict => conflict.column('command_id').doNothing())
      .execute()
  }

  async addSession(hash: string, session: StoredSession): Promise<void> {
    await this.#db
      .insertInto('session')
      .values({ hash, user: session.user, created_at: session.createdAt, expires_at: session.expiresAt })
      .execute()
  }

  async session(hash: string, now: number): Promise<StoredSession | null> {
    const row = await this.#db
      .selectFrom('session')
      .selectAll()
      .where('hash', '=', hash)
      .where('expires_at', '>', now)
      .executeTakeFirst()
    return row ? { user: row.user, createdAt: row.created_at, expiresAt: row.expires_at } : null
  }

  async removeSession(hash: string): Promise<void> {
    await this.#db.deleteFrom('session').where('hash', '=', hash).execute()
  }

  async removeExpiredSessions(now: number): Promise<void> {
    await this.#db.deleteFrom('session').where('expires_at', '<=', now).execute()
  }

  async config(what: string): Promise<StoredConfig | null> {
    const row = await this.#db.selectFrom('config').selectAll().where('what', '=', what).executeTakeFirst()
    return row ? { hash: row.hash, content: row.content, since: row.since } : null
  }

  async setConfig(what: string, { hash, content, since }: StoredConfig): Promise<void> {
    await this.#db
      .insertInto('config')
      .values({ what, hash, content, since })
      .onConflict(conflict => conflict.column('what').doUpdateSet({ hash, content, since }))
      .execute()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#db.destroy()
  }
}

async function migrate(db: Kysely<Tables>, path: string): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => ({ ...migrations }) } })
  const known = Object.keys(migrations).length
  const applied = await appliedMigrations(db)
  if (applied > known) throw new PenstockError('data-newer', { path, found: applied, known })
  const { error } = await migrator.migrateToLatest()
  if (error) throw error
}

async function appliedMigrations(db: Kysely<Tables>): Promise<number> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true })
  if (!tables.some(table => table.name === 'kysely_migration')) return 0
  const { count } = await db
    .withTables<{ kysely_migration: { name: string } }>()
    .selectFrom('kysely_migration')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return count
}
