import { expect, test } from 'vitest'
import { FaultyFiles, seeded } from './faulty-files.ts'

const text = async (files: FaultyFiles, file: string): Promise<string | null> => {
  const content = await files.readWhole(file)
  return content && Buffer.from(content).toString()
}

async function written(files: FaultyFiles, file: string, content: string, synced: boolean): Promise<void> {
  const open = await files.open(file)
  await open.append([Buffer.from(content)])
  if (synced) await open.sync()
  await open.close()
}

test('what was synced survives a power cut; of the rest any part does', async () => {
  const lengths = new Set<number>()
  for (let seed = 0; seed < 200; seed++) {
    const files = new FaultyFiles(seeded(seed))
    await written(files, '/a/x', 'durable', true)
    await files.syncFolder('/a')
    await written(files, '/a/x', ' perhaps', false)
    files.crash()
    const content = await text(files, '/a/x')
    expect(content?.startsWith('durable')).toBe(true)
    lengths.add(content?.length ?? 0)
  }
  expect(lengths.size).toBe(' perhaps'.length + 1)
})

test('a new name may be gone until the folder is synced', async () => {
  const outcomes = new Set<boolean>()
  for (let seed = 0; seed < 50; seed++) {
    const files = new FaultyFiles(seeded(seed))
    await written(files, '/a/x', 'content', true)
    files.crash()
    outcomes.add((await text(files, '/a/x')) !== null)
  }
  expect(outcomes).toEqual(new Set([true, false]))
})

test('replace leaves the old content or the new one', async () => {
  const outcomes = new Set<string | null>()
  for (let seed = 0; seed < 200; seed++) {
    const files = new FaultyFiles(seeded(seed))
    await files.replace('/a/x', Buffer.from('old'))
    files.cutAfter(seed % 8)
    await files.replace('/a/x', Buffer.from('new')).catch(() => {})
    files.crash()
    outcomes.add(await text(files, '/a/x'))
  }
  expect(outcomes).toEqual(new Set(['old', 'new']))
})

test('after a failed sync the data can be read, a second sync succeeds, and the power cut shows that it was never there', async () => {
  const files = new FaultyFiles(seeded(1))
  await written(files, '/a/x', 'first.', true)
  await files.syncFolder('/a')
  const open = await files.open('/a/x')
  await open.append([Buffer.from('second')])
  files.fail('sync', 'EIO')
  await expect(open.sync()).rejects.toMatchObject({ code: 'disk-failed' })
  await open.sync()
  expect(await text(files, '/a/x')).toBe('first.second')
  files.crash()
  expect(await text(files, '/a/x')).toBe('first.\0\0\0\0\0\0')
})

test('a full disk takes the part that fits', async () => {
  const files = new FaultyFiles(seeded(1))
  files.free = 4
  await expect(written(files, '/a/x', 'content', true)).rejects.toMatchObject({ code: 'disk-full' })
  expect(await text(files, '/a/x')).toBe('cont')
  await files.remove('/a/x')
  expect(await files.freeBytes('/a')).toBe(4)
})

test('an image is put back as it was, any number of times', async () => {
  const files = new FaultyFiles(seeded(1))
  await written(files, '/a/x', 'then', false)
  const image = files.snapshot()
  await written(files, '/a/x', ' now', true)
  for (let i = 0; i < 2; i++) {
    files.restore(image)
    expect(await text(files, '/a/x')).toBe('then')
    files.crash()
    expect(await text(files, '/a/x')).toBe('then')
    await written(files, '/a/x', ' again', true)
  }
})

test('open files die with the power', async () => {
  const files = new FaultyFiles(seeded(1))
  const open = await files.open('/a/x')
  files.crash()
  await expect(open.append([Buffer.from('late')])).rejects.toMatchObject({ code: 'disk-failed' })
})
