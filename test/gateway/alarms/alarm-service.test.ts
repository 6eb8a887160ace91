import { describe, expect, it } from 'vitest'
import { leak, leakTag, World } from './support.ts'

async function raised(world: World) {
  const service = await world.open()
  world.config()
  world.read(0.05)
  await world.inbox.commit()
  service.start(world.inbox)
  await world.pass(1_000)
  world.read(0.4)
  await world.inbox.commit()
  return service
}

describe('the alarm service', () => {
  it('has an alarm in the journal and told its listeners when the commit of the reading has been applied', async () => {
    const world = new World()
    const service = await world.open()
    world.config()
    await world.inbox.commit()
    const told: string[][] = []
    let journaled = 0
    service.onChange(ids => told.push([...ids]))
    service.onJournal(() => journaled++)
    world.read(0.4)
    await world.inbox.commit()
    expect(told).toEqual([[leak, 'cl2.fault@site-a:cl2-1:concentration']])
    expect(journaled).toBe(1)
    const { records } = await service.journal.query({ alarm: leak, limit: 10 })
    expect(records).toMatchObject([
      { kind: 'RAISE', level: 'H', value: 0.4, limit: 0.3, unit: 'ppm', announce: true, position: 1 },
    ])
    expect(service.open()).toMatchObject([
      {
        id: leak,
        state: 'UNACK',
        occ: 1,
        ann: 1,
        priority: 'high',
        site: 'site-a',
        device: 'cl2-1',
        text: { zh: 'cl2-1 氯气 0.4 ppm（H 限值 0.3）', en: 'cl2-1 chlorine 0.4 ppm (H limit 0.3)' },
        consequence: { zh: '人员中毒', en: 'Toxic exposure of people' },
      },
    ])
    await service.close()
  })

  it('lets delays end through ticks of its own, and says that it runs when nothing else does', async () => {
    const world = new World()
    const service = await raised(world)
    world.read(0.05)
    await world.inbox.commit()
    await world.pass(31_900)
    expect(service.find(leak)).toMatchObject({ state: 'UNACK', active: true })
    await world.pass(500)
    expect(service.find(leak)).toMatchObject({ state: 'RTN_UNACK', active: false })
    const before = world.inbox.records.length
    await world.pass(120_000)
    const ticks = world.inbox.records.slice(before).filter(({ entry }) => entry.kind === 'tick')
    expect(ticks.length).toBeGreaterThanOrEqual(5)
    expect(ticks.length).toBeLessThanOrEqual(8)
    await service.close()
  })

  it('acknowledges what was shown, refuses what was not, and answers the same id the same way, also after a restart', async () => {
    const world = new World()
    const service = await raised(world)
    const stale = { type: 'acknowledge', alarm: leak, occ: 1, ann: 1 } as const
    world.read(0.7)
    await world.inbox.commit()
    expect(await service.submit(stale, 'wang', 'command-1')).toEqual({ ok: false, code: 'stale_ack', alarm: leak })
    const right = { ...stale, ann: 2, comment: 'seen' }
    expect(await service.submit(right, 'wang', 'command-2')).toEqual({ ok: true, alarm: leak })
    expect(service.find(leak)).toMatchObject({ state: 'ACK', ackedBy: 'wang' })
    const entries = world.inbox.records.length
    expect(await service.submit(right, 'wang', 'command-2')).toEqual({ ok: true, alarm: leak })
    expect(await service.submit(stale, 'wang', 'command-2')).toEqual({
      ok: false,
      code: 'command_id_reused',
      alarm: null,
    })
    expect(world.inbox.records.length).toBe(entries)
    await service.close()
    const again = await world.open()
    again.start(world.inbox)
    expect(await again.submit(stale, 'wang', 'command-1')).toEqual({ ok: false, code: 'stale_ack', alarm: leak })
    expect(await again.submit(right, 'wang', 'command-2')).toEqual({ ok: true, alarm: leak })
    const { records } = await again.journal.query({ alarm: leak, limit: 10 })
    expect(records.map(({ kind, actor }) => [kind, actor])).toEqual([
      ['ACK', 'wang'],
      ['REFUSE', 'wang'],
      ['LEVEL', null],
      ['RAISE', null],
    ])
    await again.close()
  })

  it('submits one command once when it is asked twice at the same time', async () => {
    const world = new World()
    const service = await raised(world)
    const command = { type: 'acknowledge', alarm: leak, occ: 1, ann: 1 } as const
    const answers = await Promise.all([
      service.submit(command, 'a', 'same-id'),
      service.submit(command, 'a', 'same-id'),
    ])
    expect(answers).toEqual([
      { ok: true, alarm: leak },
      { ok: true, alarm: leak },
    ])
    expect(world.inbox.records.filter(({ entry }) => entry.kind === 'command')).toHaveLength(1)
    await service.close()
  })

  it('gives an edge the set points and reset points of its tags, and knows which live values matter', async () => {
    const world = new World()
    const service = await raised(world)
    expect(service.limitsFor('g/e')?.limits).toEqual(new Map([[leakTag, [0.25, 0.3, 0.5, 0.6]]]))
    expect(service.limitsFor('g/e')?.hash).toMatch(/^[0-9a-f]{32}$/)
    expect(service.readsLive(leakTag)).toBe(true)
    expect(service.readsLive('site-a/cl2-9/concentration')).toBe(true)
    expect(service.readsLive('site-a/cl2-1/temperature')).toBe(false)
    await service.close()
  })

  it('goes on where it was when the disk refused a commit of the journal', async () => {
    const world = new World()
    const service = await raised(world)
    world.files.fail('sync', 'EIO', 1, /journal/)
    world.read(0.7)
    const news = world.inbox.records.slice(-1)
    await expect(world.inbox.commit()).rejects.toThrow()
    await service.apply(news)
    const { records } = await service.journal.query({ alarm: leak, limit: 10 })
    expect(records.map(({ kind }) => kind)).toEqual(['LEVEL', 'RAISE'])
    await service.close()
  })

  it('writes its snapshots one after the other when flushes and the close come together', async () => {
    const world = new World()
    const service = await raised(world)
    await Promise.all([service.flush(), service.flush(), service.close()])
    const again = await world.open()
    expect(again.cursor).toBe(world.inbox.records.length)
    expect(again.open()).toMatchObject([{ id: leak, occ: 1 }])
    await again.close()
  })

  it('does not open for nothing: a journal and a snapshot of another life are found again', async () => {
    const world = new World()
    const service = await raised(world)
    await service.flush()
    await service.flush()
    expect(service.cursor).toBe(world.inbox.records.length)
    await service.close()
    const cursor = service.cursor
    world.files.damage('alarms/snapshot-a', content => content.fill(0, 20, 40))
    const again = await world.open()
    expect(again.cursor).toBeLessThanOrEqual(cursor)
    expect(again.find(leak)).toMatchObject({ state: 'UNACK', occ: 1 })
    expect(again.reach).toBe(world.inbox.records.length)
    await again.close()
  })
})

describe('after a crash at any moment', () => {
  it.each(Array.from({ length: 24 }, (_, index) => index * 7 + 3))(
    'cut after %i file operations: the journal and the state are the same',
    async cut => {
      const script = async (world: World, crashing: boolean) => {
        world.snapshotEvery = 9
        let service = await world.open()
        world.config()
        if (crashing) world.files.cutAfter(cut)
        for (let k = 0; k < 60; k++) {
          world.read([0.05, 0.4, 0.7, 0.05][k % 4] ?? 0)
          if (k % 9 === 5) {
            const at = world.time.now()
            const command = { type: 'acknowledge', alarm: leak, occ: 1 + Math.floor(k / 9), ann: 1 } as const
            world.inbox.append({ kind: 'command', commandId: `c-${k}`, actor: 'op', at, command })
          }
          await world.time.advance(k % 3 === 0 ? 70_000 : 9_000)
          world.inbox.append({ kind: 'tick', at: world.time.now() })
          try {
            await world.inbox.commit()
          } catch {
            world.files.crash()
            service = await world.open()
          }
        }
        const { records } = await service.journal.query({ limit: 1_000 })
        const view = service.find(leak)
        expect(await service.journal.verify()).toBeNull()
        await service.close().catch(() => undefined)
        return { records, view }
      }
      const smooth = await script(new World(), false)
      const crashed = await script(new World(), true)
      expect(smooth.records.length).toBeGreaterThan(60)
      expect(crashed).toEqual(smooth)
    },
  )
})
