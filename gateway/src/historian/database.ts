import { PenstockError } from '@penstock/core/runtime/errors.ts'
import Database from 'better-sqlite3'

export type Db = Database.Database

/** Largest count of a chunk; a smaller one that age made is filled up later. */
export const chunkReadings = 256

const schemaVersion = 1

const schema = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  -- upto: everything of the tag from inbox positions below it is in chunks; open: its newest chunk, if not yet full
  -- rolled: source time below which minutes and hours have been computed
  CREATE TABLE tag (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, upto INTEGER NOT NULL, open INTEGER, rolled INTEGER);
  -- keep: the smaller of last and the time of writing; what retention goes by, so that a stamp of the year 2090 is not for ever
  CREATE TABLE chunk (
    id INTEGER PRIMARY KEY AUTOINCREMENT, tag INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL,
    keep INTEGER NOT NULL, bytes BLOB NOT NULL
  );
  CREATE INDEX chunk_by_time ON chunk (tag, last, first);
  CREATE INDEX chunk_by_age ON chunk (keep);
  CREATE TABLE rollup (tag INTEGER, step INTEGER, start INTEGER, bytes BLOB NOT NULL, PRIMARY KEY (tag, step, start)) WITHOUT ROWID;
  INSERT INTO meta VALUES ('cursor', 0);
`

/**
 * Opens the historian's own SQLite file. In WAL mode better-sqlite3 would run with synchronous=NORMAL, which loses
 * acknowledged rows in a power cut; FULL syncs every commit.
 */
export function openHistorianDatabase(path: string): Db {
  const db = new Database(path)
  db.pragma('auto_vacuum = INCREMENTAL')
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.pragma('cache_size = -16000')
  const found = Number(db.pragma('user_version', { simple: true }))
  if (found > schemaVersion) {
    db.close()
    throw new PenstockError('data-newer', { path, found, known: schemaVersion })
  }
  if (found === 0) {
    db.transaction(() => {
      db.exec(schema)
      db.pragma(`user_version = ${schemaVersion}`)
    })()
  }
  return db
}

interface TagRow {
  readonly id: number
  readonly name: string
  readonly upto: number
  readonly open: number | null
  readonly rolled: number | null
}

export interface ChunkRow {
  readonly id: number
  readonly first: number
  readonly last: number
}

/** The statements of the historian; writing ones are called inside a transaction. */
export const historianStatements = (db: Db) => ({
  cursor: db.prepare<[], number>(`SELECT value FROM meta WHERE name = 'cursor'`).pluck(),
  setCursor: db.prepare<[number]>(`UPDATE meta SET value = ? WHERE name = 'cursor'`),
  tags: db.prepare<[], TagRow>(`SELECT id, name, upto, open, rolled FROM tag`),
  addTag: db.prepare<[string]>(`INSERT INTO tag (name, upto) VALUES (?, 0)`),
  setTag: db.prepare<[number, number | null, number | null, number]>(
    `UPDATE tag SET upto = ?, open = ?, rolled = ? WHERE id = ?`,
  ),
  setRolled: db.prepare<[number, number]>(`UPDATE tag SET rolled = ? WHERE id = ?`),
  addChunk: db.prepare<[number, number, number, number, number, Buffer]>(
    `INSERT INTO chunk (tag, first, last, count, keep, bytes) VALUES (?, ?, ?, ?, ?, ?)`,
  ),
  fillChunk: db.prepare<[number, number, number, number, Buffer, number]>(
    `UPDATE chunk SET first = ?, last = ?, count = ?, keep = ?, bytes = ? WHERE id = ?`,
  ),
  chunk: db.prepare<[number], Buffer>(`SELECT bytes FROM chunk WHERE id = ?`).pluck(),
  openChunk: db.prepare<[number, number], Buffer>(`SELECT bytes FROM chunk WHERE id = ? AND tag = ?`).pluck(),
  chunksOf: db.prepare<[number, number, number], ChunkRow>(
    `SELECT id, first, last FROM chunk WHERE tag = ? AND last >= ? AND first < ? ORDER BY first, id`,
  ),
  dropBefore: db.prepare<[number, number]>(
    `DELETE FROM chunk WHERE id IN (SELECT id FROM chunk WHERE keep < ? ORDER BY keep LIMIT ?)`,
  ),
  oldestSizes: db.prepare<[number], number>(`SELECT length(bytes) FROM chunk ORDER BY keep LIMIT ?`).pluck(),
  oldest: db.prepare<[], number | null>(`SELECT min(keep) FROM chunk`).pluck(),
  rollup: db
    .prepare<[number, number, number], Buffer>(`SELECT bytes FROM rollup WHERE tag = ? AND step = ? AND start = ?`)
    .pluck(),
  setRollup: db.prepare<[number, number, number, Buffer]>(`INSERT OR REPLACE INTO rollup VALUES (?, ?, ?, ?)`),
  dropRollups: db.prepare<[number, number, number]>(
    `DELETE FROM rollup WHERE (tag, step, start) IN (SELECT tag, step, start FROM rollup WHERE step = ? AND start < ? LIMIT ?)`,
  ),
})
export type HistorianStatements = ReturnType<typeof historianStatements>
