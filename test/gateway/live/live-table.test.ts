import type { Reading } from '@penstock/core/reading.ts'
import { LiveTable, type TagDeclaration } from '@penstock/gateway/live/live-table.ts'
import { describe, expect, it } from 'vitest'

const declaration = (tag: string, fields: Partial<TagDeclaration> = {}): TagDeclaration => ({
  tag,
  type: 'Double',
  class: 'raw',
  unit: 'm3/h',
  scanMs: 1_000,
  deadband: null,
  heartbeatMs: 10_000,
  resolution: null,
  modulus: null,
  ...fields,
})

const reading = (tag: string, value: number | null, sourceTimestamp: number): Reading =>
  value === null
    ? { tag, type: 'Double', value, quality: 'bad', reason: 'timeout', sourceTimestamp }
    : { tag, type: 'Double', value, quality: 'good', reason: null, sourceTimestamp }

const flow = 'plant/fm-1/flow'

function table(): LiveTable {
  const live = new LiveTable()
  live.declare('g/e1', 'plant:fm-1', declaration(flow), 0, true)
  live.update('g/e1', reading(flow, 1, 100), 100, true)
  return live
}

describe('the live table', () => {
  it('takes what the session says, whatever the stamp, but no older value that came late', () => {
    const live = table()
    live.update('g/e1', reading(flow, 2, 50), 200, true)
    expect(live.get(flow, 200)).toMatchObject({ value: 2, sourceTimestamp: 50, receivedAt: 200 })
    live.update('g/e1', reading(flow, 3, 40), 300, false)
    expect(live.get(flow, 300)?.value).toBe(2)
    live.update('g/e1', reading(flow, 4, 60), 300, false)
    expect(live.get(flow, 300)?.value).toBe(4)
  })

  it('a bad reading has no value; the last good one is kept apart', () => {
    const live = table()
    live.update('g/e1', reading(flow, null, 200), 200, true)
    expect(live.get(flow, 200)).toMatchObject({
      value: null,
      quality: 'bad',
      reason: 'timeout',
      lastGood: { value: 1, sourceTimestamp: 100 },
    })
  })

  it('shows a tag that was not refreshed in three heartbeats as bad, and tells it once', () => {
    const live = table()
    expect(live.get(flow, 30_100)).toMatchObject({ quality: 'good' })
    expect(live.get(flow, 30_101)).toMatchObject({
      value: null,
      quality: 'bad',
      reason: 'timeout',
      lastGood: { value: 1 },
    })
    const { version } = live
    live.sweep(30_000)
    expect(live.version).toBe(version)
    live.sweep(30_101)
    live.sweep(30_102)
    expect(live.changesSince(version, 30_102).tags).toMatchObject([{ tag: flow, reason: 'timeout' }])
    expect(live.version).toBe(version + 1)
    live.update('g/e1', reading(flow, 5, 40_000), 40_000, true)
    expect(live.get(flow, 40_000)).toMatchObject({ value: 5, quality: 'good' })
  })

  it('never ages a tag of a node that reports changes only', () => {
    const live = new LiveTable()
    live.declare('g/e1', 'pump', declaration(flow, { scanMs: null, heartbeatMs: null }), 0, true)
    live.update('g/e1', reading(flow, 1, 0), 0, true)
    expect(live.get(flow, 1e12)).toMatchObject({ quality: 'good' })
  })

  it('gives the changes since a version, each tag once, oldest change first', () => {
    const live = new LiveTable()
    const tags = ['a/b/1', 'a/b/2', 'a/b/3', 'a/b/4']
    for (const tag of tags) live.declare('g/e1', 'a:b', declaration(tag), 0, true)
    const { version } = live
    expect(live.changesSince(version, 0)).toEqual({ version, tags: [] })
    for (const tag of ['a/b/3', 'a/b/1', 'a/b/3', 'a/b/4', 'a/b/1']) live.update('g/e1', reading(tag, 1, 1), 1, true)
    const changes = live.changesSince(version, 1)
    expect(changes.tags.map(({ tag }) => tag)).toEqual(['a/b/3', 'a/b/4', 'a/b/1'])
    expect(live.changesSince(changes.version, 1).tags).toEqual([])
    expect(live.changesSince(0, 1).tags).toHaveLength(4)
  })

  it('makes the tags of an edge or a device bad, and only those', () => {
    const live = table()
    live.declare('g/e1', 'plant:fm-2', declaration('plant/fm-2/flow'), 0, true)
    live.declare('g/e11', 'plant:fm-3', declaration('plant/fm-3/flow'), 0, true)
    live.update('g/e1', reading('plant/fm-2/flow', 1, 1), 1, true)
    live.update('g/e11', reading('plant/fm-3/flow', 1, 1), 1, true)
    expect(live.offline('g/e1', 'plant:fm-1', 'device-offline', 5)).toEqual([flow])
    expect(live.get('plant/fm-2/flow', 5)).toMatchObject({ quality: 'good' })
    expect(live.offline('g/e1', null, 'edge-offline', 5)).toEqual([flow, 'plant/fm-2/flow'])
    expect(live.get('plant/fm-3/flow', 5)).toMatchObject({ quality: 'good' })
  })

  it('follows a device to another edge, and the old edge has no say any more', () => {
    const live = table()
    expect(live.declare('g/e2', 'plant:fm-1', declaration(flow), 0, true)).toBe(true)
    live.update('g/e2', reading(flow, 7, 200), 200, true)
    live.update('g/e1', reading(flow, 8, 300), 300, true)
    expect(live.offline('g/e1', null, 'edge-offline', 300)).toEqual([])
    expect(live.get(flow, 300)).toMatchObject({ edge: 'g/e2', value: 7 })
  })

  it('lets an edge that is not registered take no tag of another', () => {
    const live = table()
    expect(live.declare('g/e9', 'plant:fm-1', declaration(flow), 0, false)).toBe(false)
    live.update('g/e9', reading(flow, 666, 200), 200, true)
    expect(live.get(flow, 200)).toMatchObject({ edge: 'g/e1', value: 1 })
  })

  it('retires what a birth no longer lists', () => {
    const live = table()
    live.declare('g/e1', 'plant:fm-1', declaration('plant/fm-1/old'), 0, true)
    live.retire('g/e1', 'plant:fm-1', tag => tag === flow, 500)
    expect(live.get('plant/fm-1/old', 500)).toMatchObject({ quality: 'bad', reason: 'retired' })
    expect(live.get(flow, 500)).toMatchObject({ quality: 'good' })
  })
})
