import { silentLogger } from '@penstock/core/runtime/log.ts'
import { SnapshotStore } from '@penstock/gateway/alarms/snapshot-store.ts'
import { expect, it } from 'vitest'
import { FaultyFiles, seeded } from '../../support/faulty-files.ts'

it('tells a store that never had a snapshot from one whose snapshots cannot be read', async () => {
  const files = new FaultyFiles(seeded(1))
  await files.makeFolder('alarms')
  const fresh = new SnapshotStore('alarms', files, silentLogger)
  expect(await fresh.load()).toBeNull()
  expect(fresh.found).toBe(false)
  await files.replace('alarms/snapshot-a', new Uint8Array(40))
  const damaged = new SnapshotStore('alarms', files, silentLogger)
  expect(await damaged.load()).toBeNull()
  expect(damaged.found).toBe(true)
})
