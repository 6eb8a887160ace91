import { alarmsView } from '@penstock/gateway/alarms/alarms-view.ts'
import { describe, expect, it } from 'vitest'
import { leak, leakTag, rules, World } from './support.ts'

const device = 'site-a/cl2-1'
const hour = 3_600_000

async function open() {
  const world = new World()
  const service = await world.open()
  world.config()
  await world.inbox.commit()
  service.start(world.inbox)
  world.read(0.7)
  await world.inbox.commit()
  return { world, service, view: alarmsView(service) }
}

describe('alarms as the API shows them', () => {
  it('journal what was done to a device, and why, also what was refused', async () => {
    const { world, service, view } = await open()
    const now = world.time.now()
    const inhibit = (hours: number) => ({ type: 'inhibit', device, until: now + hours * hour, reason: 'calibration' })
    await view.submit(inhibit(1) as never, 'wang', 'command-1')
    await view.submit({ type: 'end-inhibit', device }, 'wang', 'command-2')
    await view.submit({ type: 'end-inhibit', device }, 'li', 'command-3')
    const { records } = await view.journal({ limit: 10 })
    const about = records.filter(record => record.source === device)
    expect(about.map(({ kind, reason, actor, alarm }) => [kind, reason, actor, alarm])).toEqual([
      ['REFUSE', 'not_inhibited', 'li', null],
      ['END_INHIBIT', 'calibration', 'wang', null],
      ['INHIBIT', 'calibration', 'wang', null],
    ])
    const raised = records.find(record => record.kind === 'RAISE')
    expect(raised).toMatchObject({ alarm: leak, rule: 'cl2.leak', source: leakTag, before: 'NORMAL', after: 'UNACK' })
    await service.close()
  })

  it('say in words why a command was refused, and how long an inhibit may be', async () => {
    const { world, service, view } = await open()
    const now = world.time.now()
    const until = (ms: number) => ({ type: 'inhibit', device, until: now + ms, reason: 'calibration' }) as const
    const longest = service.maxInhibitMs
    expect(rules.inhibit?.max).toBeDefined()
    const tooLong = await view.submit(until(longest + 1), 'wang', 'command-1')
    expect(tooLong).toMatchObject({ status: 'inhibit-too-long' })
    expect(await view.submit(until(0), 'wang', 'command-2')).toEqual(tooLong)
    expect(await view.submit(until(longest), 'wang', 'command-3')).toEqual({ status: 'done' })
    const outcomes = [
      await view.submit({ type: 'reset', alarm: leak, occ: 1 }, 'wang', 'command-4'),
      await view.submit({ type: 'end-inhibit', device: 'site-a/nothing' }, 'wang', 'command-5'),
    ]
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'refused', text: expect.stringMatching(/\w+ \w+ \w+/) })
    }
    await service.close()
  })
})
