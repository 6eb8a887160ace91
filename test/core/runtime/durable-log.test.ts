import { copyFile, mkdtemp, readdir, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { crc32c } from '@penstock/core/runtime/crc32c.ts'
import { type DurableLog, type LogRecord, openDurableLog } from '@penstock/core/runtime/durable-log.ts'
import { encodeFrame, recordKind } from '@penstock/core/runtime/durable-log-format.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FaultyFiles, seeded } from '../../support/faulty-files.ts'

const folder = '/data/log'
type Damage = { segment: string; offset: number; what: string }

interface Opened {
  readonly log: DurableLog
  readonly damages: Damage[]
}

async function open(
  files: FileLayer,
  options: { chain?: boolean; folder?: string; segmentBytes?: number } = {},
): Promise<Opened> {
  const damages: Damage[] = []
  const onDamage = (damage: Damage): void => void damages.push(damage)
  const log = await openDurableLog({ folder, files, segmentBytes: 3000, onDamage, ...options })
  return { log, damages }
}

const bodyAt = (position: number): string => `reading ${position} ${'x'.repeat(position % 50)}`

/** Appends what `bodyAt` says, synced in groups. */
async function fill(log: DurableLog, count: number, group = 10): Promise<void> {
  for (let i = 0; i < count; i++) {
    const tag = `waterworks/fm-1/tag-${log.end % 5}`
    log.append(dictionary => Buffer.from(`${dictionary.idOf(tag)} ${bodyAt(log.end)}`))
    if (i % group === group - 1) await log.sync()
  }
  await log.sync()
}

async function readAll(log: DurableLog, from = log.first): Promise<LogRecord[]> {
  const all: LogRecord[] = []
  for (let next = from; ; ) {
    const some = await log.read(next, 13, 2000)
    const last = some.at(-1)
    if (!last) return all
    all.push(...some)
    next = last.position + 1
  }
}

/** The positions that can be read, each checked to be what was written there. */
async function positions(log: DurableLog, from = log.first): Promise<number[]> {
  const all = await readAll(log, from)
  for (const { position, body, entries } of all) {
    const [id, ...text] = Buffer.from(body).toString().split(' ')
    expect(`${entries[Number(id)]} ${text.join(' ')}`).toBe(`waterworks/fm-1/tag-${position % 5} ${bodyAt(position)}`)
  }
  const found = all.map(({ position }) => position)
  expect(found).toEqual([...found].sort((a, b) => a - b))
  return found
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

test('an empty log begins at 0 and has nothing to read or to sync', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await log.sync()
  expect(log).toMatchObject({ first: 0, end: 0, durableEnd: 0, bytes: 0, pendingBytes: 0 })
  expect(await log.read(0, 10, 1000)).toEqual([])
  await log.close()
  expect(files.paths).toEqual([])
})

test('only what is durable is read', async () => {
  const { log } = await open(new FaultyFiles(seeded(1)))
  await fill(log, 3)
  log.append(() => Buffer.from('not yet'))
  expect(log).toMatchObject({ end: 4, durableEnd: 3 })
  expect(log.pendingBytes).toBeGreaterThan(0)
  expect(await positions(log)).toEqual([0, 1, 2])
  await log.close()
})

test('reads at most what was asked for, but always one record', async () => {
  const { log } = await open(new FaultyFiles(seeded(1)))
  await fill(log, 100)
  expect(await log.read(17, 5, 1e6)).toHaveLength(5)
  expect((await log.read(17, 5, 1e6))[0]?.position).toBe(17)
  expect(await log.read(17, 5, 1)).toHaveLength(1)
  expect(await log.read(17, 0, 1000)).toEqual([])
  const some = await log.read(0, 1000, 500)
  expect(some.length).toBeGreaterThan(5)
  expect(some.length).toBeLessThan(50)
  await log.close()
})

test('many callers of sync share an fdatasync', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 1)
  const before = files.syncs
  await Promise.all(
    range(0, 50).map(async () => {
      log.append(() => Buffer.from('one of many'))
      await log.sync()
    }),
  )
  expect(log.durableEnd).toBe(51)
  expect(files.syncs - before).toBeLessThanOrEqual(2)
  await log.close()
})

test('records larger than a segment and larger than a block', async () => {
  const { log } = await open(new FaultyFiles(seeded(1)))
  const sizes = [0, 5000, 1_500_000, 3, 70_000, 1]
  for (const size of sizes) log.append(() => Buffer.alloc(size, size % 251))
  await log.sync()
  const found = await log.read(0, 10, 1e9)
  expect(found.map(({ body }) => body.length)).toEqual(sizes)
  expect(found.every(({ body }) => body.every(byte => byte === body.length % 251))).toBe(true)
  expect(() => log.append(() => Buffer.alloc(17 * 1024 * 1024))).toThrow(RangeError)
  expect(log.end).toBe(6)
  await log.close()
})

test('an encoder that throws leaves no trace', async () => {
  const { log } = await open(new FaultyFiles(seeded(1)))
  expect(() =>
    log.append(dictionary => {
      dictionary.idOf('used by nobody')
      throw new Error('cannot be encoded')
    }),
  ).toThrow('cannot be encoded')
  await fill(log, 5)
  expect(await positions(log)).toEqual(range(0, 5))
  await log.close()
})

test('trim deletes whole segments below the position, never the last', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 400)
  const [, second, third] = log.segments()
  await log.trim((third?.first ?? 0) - 1)
  expect(log.first).toBe(second?.first)
  await log.trim(third?.first ?? 0)
  expect(log.first).toBe(third?.first)
  await log.trim(1000)
  expect(log.segments()).toHaveLength(1)
  expect(files.paths).toHaveLength(1)
  await log.close()
  const { log: again } = await open(files)
  expect(again.end).toBe(400)
  await again.close()
})

test('a reader is not disturbed by trimming', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 400)
  const reading = log.read(0, 1000, 1e6)
  const trimming = log.trim(400)
  const found = (await reading).map(({ position }) => position)
  await trimming
  expect(found.slice(0, 10)).toEqual(range(0, 10))
  expect(await positions(log, 0)).toEqual(range(log.first, 400))
  expect(files.paths).toHaveLength(1)
  await log.close()
})

test('a segment is deleted only when the last read of it has ended', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  for (let i = 0; i < 3; i++) {
    log.append(() => Buffer.alloc(100_000, i))
    await log.sync()
  }
  const reading = log.read(0, 1, 1)
  const trimming = log.trim(2)
  expect((await reading)[0]?.body).toHaveLength(100_000)
  await trimming
  expect(log.first).toBe(2)
  await log.close()
})

test('however many segments are read, few files are open', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files, { segmentBytes: 300 })
  await fill(log, 300)
  expect(log.segments().length).toBeGreaterThan(20)
  await Promise.all(range(0, 10).map(i => positions(log, i * 30)))
  expect(files.openFiles).toBeLessThanOrEqual(9)
  await log.close()
  expect(files.openFiles).toBe(0)
})

test('skipTo is durable even without a record after it', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 5)
  await log.skipTo(1000)
  await expect(log.skipTo(999)).rejects.toThrow(RangeError)
  files.crash()
  const { log: again } = await open(files)
  expect(again).toMatchObject({ first: 0, end: 1000, durableEnd: 1000 })
  await fill(again, 3)
  expect(await positions(again)).toEqual([...range(0, 5), ...range(1000, 1003)])
  await again.close()
})

test('restarts pile up no files', async () => {
  const files = new FaultyFiles(seeded(1))
  for (let life = 0; life < 20; life++) {
    const { log } = await open(files, { segmentBytes: 100_000 })
    await fill(log, 3)
    if (life % 2 === 0) await log.close()
    else files.kill()
  }
  expect(files.paths).toHaveLength(1)
  const { log } = await open(files)
  expect(await positions(log)).toEqual(range(0, 60))
  await log.close()
})

test('nothing goes on after close', async () => {
  const { log } = await open(new FaultyFiles(seeded(1)))
  log.append(() => Buffer.from('synced by close'))
  const closing = log.close()
  expect(log.close()).toBe(closing)
  await closing
  expect(log.durableEnd).toBe(1)
  expect(() => log.append(() => Buffer.alloc(0))).toThrow('closed')
  await expect(log.sync()).rejects.toMatchObject({ code: 'closed' })
  await expect(log.read(0, 1, 1)).rejects.toMatchObject({ code: 'closed' })
})

test('a full disk loses nothing and leaves no heap of files; when there is room again, sync goes on', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 20)
  files.free = 500
  log.append(() => Buffer.alloc(100_000, 1))
  for (let i = 0; i < 5; i++) await expect(log.sync()).rejects.toMatchObject({ code: 'disk-full' })
  expect(log).toMatchObject({ end: 21, durableEnd: 20 })
  expect(await positions(log)).toEqual(range(0, 20))
  expect(files.paths.length).toBeLessThanOrEqual(2)
  files.free = 1e6
  await log.sync()
  expect((await readAll(log)).at(-1)?.body).toHaveLength(100_000)
  await log.close()
})

test('opens on a full disk, and deletes on it', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files, { segmentBytes: 2000 })
  await fill(log, 300)
  files.kill()
  files.free = 0
  const { log: full } = await open(files, { segmentBytes: 2000 })
  expect(full.end).toBe(300)
  expect(full.durableEnd).toBeGreaterThan(200)
  await expect(full.sync()).rejects.toMatchObject({ code: 'disk-full' })
  await full.trim(100)
  expect(full.first).toBeGreaterThan(50)
  await full.sync()
  expect(await positions(full)).toEqual(range(full.first, 300))
  await full.close()
})

test('what a failed fdatasync covered is written again elsewhere: a second fdatasync would prove nothing', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 10)
  files.fail('sync', 'EIO')
  await expect(fill(log, 5)).rejects.toMatchObject({ code: 'disk-failed' })
  expect(log).toMatchObject({ end: 15, durableEnd: 10 })
  await log.sync()
  files.crash()
  const { log: again } = await open(files)
  expect(await positions(again)).toEqual(range(0, 15))
  await again.close()
})

test('killed right after a failed fdatasync, with the data still to be read: it is written again at the next start', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 10)
  files.fail('truncate', 'EIO')
  files.fail('sync', 'EIO')
  await expect(fill(log, 5)).rejects.toMatchObject({ code: 'disk-failed' })
  files.kill()
  const { log: again } = await open(files)
  const acknowledged = again.durableEnd
  files.crash()
  const { log: third } = await open(files)
  expect(await positions(third)).toEqual(range(0, acknowledged))
  await third.close()
})

test('the checksum of a record stays the same when it is written again', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  const crcs = range(0, 5).map(i => log.append(dictionary => Buffer.from(`${dictionary.idOf(`tag ${i}`)} ${i}`)).crc)
  files.fail('sync', 'EIO')
  await expect(log.sync()).rejects.toMatchObject({ code: 'disk-failed' })
  await log.sync()
  files.kill()
  const { log: again } = await open(files)
  const found = await readAll(again)
  expect(found.map(({ crc }) => crc)).toEqual(crcs)
  expect(found.map(({ entries }, i) => entries[i])).toEqual(range(0, 5).map(i => `tag ${i}`))
  await again.close()
})

test('one flipped bit costs at most its record, or those that need a lost dictionary entry, and is reported', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 200, 7)
  await log.close()
  const image = files.snapshot()
  const segments = files.paths
  const costs = new Map<number, number>()
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(), fc.nat(7), async (which, where, bit) => {
      files.restore(image)
      const segment = segments[which % segments.length] ?? ''
      files.damage(segment, content => {
        const place = where % content.length
        content[place] = (content[place] ?? 0) ^ (1 << bit)
      })
      const { log: damaged, damages } = await open(files)
      expect(damaged.end).toBe(200)
      const found = await positions(damaged)
      const missing = 200 - found.length
      costs.set(missing, (costs.get(missing) ?? 0) + 1)
      if (missing > 0) expect(damages).not.toEqual([])
      await fill(damaged, 3)
      expect((await positions(damaged)).slice(-3)).toEqual(range(200, 203))
      await damaged.close()
    }),
    { numRuns: Number(process.env.PENSTOCK_RUNS ?? 300) },
  )
  // Most bits are in records.
  expect(Math.max(...costs.values())).toBe(costs.get(1))
})

test('a segment that makes no sense is set aside, never deleted; the others and the numbering stay', async () => {
  for (const which of [0, 1, -1]) {
    const files = new FaultyFiles(seeded(1))
    const { log } = await open(files)
    await fill(log, 200)
    const hit = log.segments().at(which)
    await log.close()
    const segment = files.paths.at(which) ?? ''
    files.damage(segment, content => content.fill(0xaa))
    const { log: again, damages } = await open(files)
    expect(files.paths).toContain(`${segment}.damaged`)
    expect(damages).toContainEqual(expect.objectContaining({ segment: path.basename(segment), offset: 0 }))
    const { first, end } = hit ?? { first: 0, end: 0 }
    expect(await positions(again)).toEqual(range(0, 200).filter(p => p < first || p >= end))
    expect(again.end).toBeGreaterThanOrEqual(which === -1 ? first : 200)
    const numbering = again.end
    await again.close()
    const { log: third } = await open(files)
    expect(third.end).toBe(numbering)
    await third.close()
  }
})

test('the name of the only segment proves how far the numbering has come', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 200)
  await log.trim(200)
  const { first } = log
  await log.close()
  files.damage(files.paths[0] ?? '', content => content.fill(0xaa))
  const { log: again } = await open(files)
  expect(again.end).toBe(first)
  await again.close()
})

test('what a cut-off end held never comes back', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 10)
  for (let i = 0; i < 12; i++) log.append(() => Buffer.from(`never acknowledged ${'y'.repeat(70)}`))
  await log.sync()
  files.kill()
  const [older = ''] = files.paths
  const before = Buffer.from((await files.readWhole(older)) ?? [])
  files.damage(older, content => content.fill(0, 1000))
  const { log: again } = await open(files)
  const { end } = again
  expect(end).toBeGreaterThan(10)
  expect(end).toBeLessThan(20)
  again.append(() => Buffer.from('acknowledged'))
  await again.sync()
  files.kill()
  // The truncation has not reached the disk after all, and a record that was written again is damaged.
  const [, newer = ''] = files.paths
  const file = await files.open(older)
  await file.truncate(0)
  await file.append([before])
  await file.sync()
  await file.close()
  files.damage(newer, content => {
    const place = content.indexOf('never acknowledged')
    content[place] = 0
  })
  const { log: third } = await open(files)
  const texts = (await readAll(third)).slice(10).map(({ body }) => Buffer.from(body).toString().split(' ')[0])
  expect(texts).toEqual([...range(10, end).map(() => 'never'), 'acknowledged'])
  await third.close()
})

test('old frames in blocks that were never written are not taken for new ones', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files, { chain: true, segmentBytes: 100_000 })
  await fill(log, 100)
  await log.close()
  const stale = Buffer.from((await files.readWhole(files.paths[0] ?? '')) ?? []).subarray(76, 5000)
  const file = await files.open(files.paths[0] ?? '')
  await file.append([stale])
  await file.sync()
  await file.close()
  const { log: again } = await open(files, { chain: true })
  expect(again.end).toBe(100)
  expect(await positions(again)).toEqual(range(0, 100))
  await fill(again, 5)
  expect(await again.verify()).toBeNull()
  await again.close()
})

test('a segment of a later version is set aside', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 10)
  await log.close()
  files.damage(files.paths[0] ?? '', content => {
    content.writeUInt32LE(2, 8)
    content.writeUInt32LE(crc32c(content, 0, 0, 72), 72)
  })
  const { log: again, damages } = await open(files)
  expect(damages.map(({ what }) => what)).toEqual([expect.stringContaining('another version')])
  expect(files.paths).toEqual([expect.stringMatching(/\.damaged$/)])
  await again.close()
})

test('a lost header costs nothing', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files)
  await fill(log, 200)
  await log.close()
  for (const segment of files.paths) files.damage(segment, content => content.fill(0, 0, 76))
  const { log: again, damages } = await open(files)
  expect(await positions(again)).toEqual(range(0, 200))
  expect(damages.length).toBeGreaterThan(1)
  await again.close()
})

test('damage that appears while the log is open is stepped over and reported once', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log, damages } = await open(files)
  await fill(log, 200)
  files.damage(files.paths[1] ?? '', content => content.fill(0xf5, 1000, 1100))
  const found = await positions(log)
  expect(found.length).toBeGreaterThan(190)
  expect(found.length).toBeLessThan(200)
  expect(await positions(log)).toEqual(found)
  expect(damages).toHaveLength(1)
  await log.close()
})

test('what looks like a record inside a damaged one is not taken for one', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files, { segmentBytes: 100_000 })
  log.append(() => Buffer.from('first'))
  await log.sync()
  const forged = encodeFrame(recordKind, 2, 0, Buffer.from('never written'))
  log.append(() => forged)
  log.append(() => Buffer.concat([forged, Buffer.from('tail')]))
  log.append(() => Buffer.from('last'))
  await log.sync()
  files.damage(files.paths[0] ?? '', content => {
    content[content.indexOf('tail')] = 0
  })
  expect((await readAll(log)).map(({ position }) => position)).toEqual([0, 1, 3])
  await log.close()
})

test('bad sectors cost what lies on them; a disk that does not answer at all costs nothing', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log, damages } = await open(files, { segmentBytes: 100_000 })
  await fill(log, 1000)
  const file = files.paths[0] ?? ''
  files.fail('read', 'EIO', 1000)
  await expect(log.read(0, 10, 1000)).rejects.toMatchObject({ code: 'disk-failed' })
  files.heal()
  files.spoil(file, 20_480, 20_992)
  const found = await positions(log)
  expect(found.length).toBeGreaterThan(900)
  expect(found.length).toBeLessThan(1000)
  expect(damages).toHaveLength(1)
  await log.close()
  const { log: again } = await open(files, { segmentBytes: 100_000 })
  expect(await positions(again)).toEqual(found)
  await again.close()
})

test('the chain tells whether anybody changed, cut out or added anything', async () => {
  const files = new FaultyFiles(seeded(1))
  const { log } = await open(files, { chain: true })
  await fill(log, 200)
  const head = Buffer.from(log.head)
  expect(await log.verify()).toBeNull()
  await log.close()
  const image = files.snapshot()
  const [, second = '', third = ''] = files.paths
  const changes: Record<string, (content: Buffer) => void> = {
    'a byte of a record': content => {
      content[500] = (content[500] ?? 0) ^ 1
    },
    'a record in place of another, with a right checksum': content => {
      content.copyWithin(76, 200)
    },
  }
  for (const [what, change] of Object.entries(changes)) {
    files.restore(image)
    files.damage(second, change)
    const { log: changed } = await open(files, { chain: true })
    expect(await changed.verify(), what).toMatchObject({ segment: path.basename(second) })
    await changed.close()
  }
  files.restore(image)
  await files.remove(second)
  const { log: shortened } = await open(files, { chain: true })
  expect(await shortened.verify()).toMatchObject({ segment: path.basename(third), offset: 0 })
  await shortened.close()

  files.restore(image)
  const { log: same } = await open(files, { chain: true })
  expect(Buffer.from(same.head)).toEqual(head)
  await same.trim(100)
  expect(await same.verify()).toBeNull()
  await fill(same, 5)
  expect(Buffer.from(same.head)).not.toEqual(head)
  expect(await same.verify()).toBeNull()
  await same.close()
})

test('the chain is whole over empty segments and restarts, however a group was torn', async () => {
  for (let seed = 0; seed < 60; seed++) {
    const files = new FaultyFiles(seeded(seed))
    const { log } = await open(files, { chain: true })
    await fill(log, 1)
    await log.skipTo(log.end)
    files.kill()
    const { log: second } = await open(files, { chain: true })
    files.cutAfter(seed % 6)
    await fill(second, 5).catch(() => {})
    files.crash()
    const { log: third } = await open(files, { chain: true })
    expect(await third.verify()).toBeNull()
    await fill(third, 5)
    expect(await positions(third)).toEqual(range(0, third.end))
    files.kill()
    const { log: fourth } = await open(files, { chain: true })
    expect(await fourth.verify()).toBeNull()
    await fourth.close()
  }
})

test('on the file system: torn at any byte, everything before it is there', async () => {
  const place = await mkdtemp(path.join(tmpdir(), 'penstock-log-'))
  try {
    const whole = path.join(place, 'whole')
    const { log } = await open(nodeFiles, { folder: whole })
    await fill(log, 150)
    await log.trim(50)
    const { first } = log
    expect(await positions(log)).toEqual(range(first, 150))
    await log.close()
    const names = (await readdir(whole)).sort()
    const last = names.at(-1) ?? ''
    const { size } = await stat(path.join(whole, last))
    const random = seeded(7)
    for (let i = 0; i < 15; i++) {
      const torn = path.join(place, `torn-${i}`)
      await nodeFiles.makeFolder(torn)
      for (const name of names) await copyFile(path.join(whole, name), path.join(torn, name))
      await truncate(path.join(torn, last), Math.floor(random() * size))
      const { log: again } = await open(nodeFiles, { folder: torn })
      const end = again.end
      expect(await positions(again)).toEqual(range(first, end))
      await fill(again, 20)
      expect(await positions(again)).toEqual(range(first, end + 20))
      await again.close()
    }
  } finally {
    await rm(place, { recursive: true, force: true })
  }
})
