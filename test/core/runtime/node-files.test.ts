import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import { afterEach, beforeEach, expect, test } from 'vitest'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'penstock-files-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('appends chunks at the end, reads anywhere, cuts', async () => {
  const file = await nodeFiles.open(path.join(folder, 'x'))
  await file.append([Buffer.from('one '), Buffer.alloc(0), Buffer.from('two ')])
  await file.append([Buffer.from('three')])
  await file.sync()
  expect(await file.size()).toBe(13)
  expect(Buffer.from(await file.read(4, 3)).toString()).toBe('two')
  expect(Buffer.from(await file.read(8, 100)).toString()).toBe('three')
  expect(await file.read(100, 10)).toHaveLength(0)
  await file.truncate(4)
  await file.append([Buffer.from('more')])
  await file.close()
  await file.close()
  expect(Buffer.from((await nodeFiles.readWhole(path.join(folder, 'x'))) ?? []).toString()).toBe('one more')
  await expect(file.size()).rejects.toMatchObject({ code: 'closed' })
})

test('more chunks than one system call takes', async () => {
  const file = await nodeFiles.open(path.join(folder, 'x'))
  const chunks = Array.from({ length: 3000 }, (_, i) => Buffer.from(`${i},`))
  await file.append(chunks)
  expect(Buffer.from(await file.read(0, 1e6))).toEqual(Buffer.concat(chunks))
  await file.close()
})

test('replace puts the new content in place and leaves nothing behind', async () => {
  const file = path.join(folder, 'x')
  await nodeFiles.replace(file, Buffer.from('old and long'))
  await nodeFiles.replace(file, Buffer.from('new'))
  expect(Buffer.from((await nodeFiles.readWhole(file)) ?? []).toString()).toBe('new')
  expect(await nodeFiles.list(folder)).toEqual(['x'])
})

test('makes folders on the way, lists sorted, renames, removes', async () => {
  const deep = path.join(folder, 'a', 'b', 'c')
  await nodeFiles.makeFolder(deep)
  await nodeFiles.makeFolder(deep)
  for (const name of ['2', '1', '3']) await writeFile(path.join(deep, name), name)
  await nodeFiles.rename(path.join(deep, '3'), path.join(deep, '0'))
  await nodeFiles.remove(path.join(deep, '2'))
  await nodeFiles.remove(path.join(deep, 'never there'))
  await nodeFiles.syncFolder(deep)
  expect(await nodeFiles.list(deep)).toEqual(['0', '1'])
  expect(await nodeFiles.freeBytes(deep)).toBeGreaterThan(0)
})

test('what does not exist is null or empty', async () => {
  expect(await nodeFiles.readWhole(path.join(folder, 'none'))).toBeNull()
  expect(await nodeFiles.list(path.join(folder, 'none'))).toEqual([])
  expect(await readdir(folder)).toEqual([])
})

test.runIf(existsSync('/dev/full'))('a full disk is said to be full', async () => {
  const file = await nodeFiles.open('/dev/full')
  await expect(file.append([Buffer.from('x')])).rejects.toMatchObject({
    code: 'disk-full',
    details: { path: '/dev/full' },
  })
  await file.close()
})

test('other failures keep their cause', async () => {
  await expect(nodeFiles.open(path.join(folder, 'none', 'x'))).rejects.toMatchObject({
    code: 'disk-failed',
    cause: { code: 'ENOENT' },
  })
})
