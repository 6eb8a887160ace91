import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Store } from '@penstock/gateway/store/store.ts'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

let folder: string
let path: string
let store: Store
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'penstock-store-'))
  path = join(folder, 'store.sqlite')
  store = await Store.open(path)
})
afterEach(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

const reopen = async () => {
  await store.close()
  store = await Store.open(path)
}

describe('store', () => {
  it('keeps which box is bound to an edge, and a later binding replaces it', async () => {
    expect(store.boundHardware('320706/e01')).toBeNull()
    store.bindHardware('320706/e01', 'box-1', 1)
    store.bindHardware('320706/e02', 'box-2', 1)
    store.bindHardware('320706/e01', 'box-3', 2)
    await reopen()
    expect(store.boundHardware('320706/e01')).toBe('box-3')
    expect(store.boundHardware('320706/e02')).toBe('box-2')
  })

  it('forgets sessions when they expire', async () => {
    await store.addSession('hash-1', { user: 'wang', createdAt: 0, expiresAt: 1000 })
    await reopen()
    expect(await store.session('hash-1', 999)).toEqual({ user: 'wang', createdAt: 0, expiresAt: 1000 })
    expect(await store.session('hash-1', 1000)).toBeNull()
    expect(await store.session('hash-2', 0)).toBeNull()
    await store.removeExpiredSessions(1000)
    expect(await store.session('hash-1', 0)).toBeNull()
  })

  it('keeps the first adoption of a command id', async () => {
    const adoption = { commandId: 'c-1', edge: '320706/e09', hardwareId: 'box', actor: 'li', at: 5 }
    await store.addAdoption(adoption)
    await store.addAdoption({ ...adoption, actor: 'somebody else' })
    await reopen()
    expect(await store.adoption('c-1')).toEqual(adoption)
    expect(await store.adoption('c-2')).toBeNull()
  })

  it('refuses a file that a newer version has written', async () => {
    await store.close()
    const db = new Database(path)
    db.exec(`INSERT INTO kysely_migration (name, timestamp) VALUES ('9999-later', '2030')`)
    db.close()
    await expect(Store.open(path)).rejects.toMatchObject({ code: 'data-newer' })
    const again = new Database(path)
    again.exec(`DELETE FROM kysely_migration WHERE name = '9999-later'`)
    again.close()
    store = await Store.open(path)
  })
})
