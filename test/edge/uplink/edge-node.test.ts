import { expect, test } from 'vitest'
import { deliveryClasses, metricNames, typedValue, World } from './world.ts'

/** An edge that is connected, born and confirmed. */
async function delivering(options = {}): Promise<World> {
  const world = new World(options)
  await world.hostOnline()
  await world.start()
  await world.time.advance(1_000)
  return world
}

test('a reading goes from the report to the confirmation and is forgotten', async () => {
  const world = await delivering()
  const durable = world.report('flow', 12.5)
  await world.time.advance(1_000)
  await durable
  const [batch] = world.batches('raw')
  expect(batch?.head).toMatchObject({ class: 'raw', from: 0, pos: 0, session: world.session })
  expect(batch?.device).toBe('plant:fm-1')
  expect(batch?.payload.metrics[0]).toMatchObject({ value: 12.5 })
  expect(world.uplink?.status().classes.raw.backlog).toBe(0)
  expect(deliveryClasses.map(name => world.next[name])).toEqual([0, 0, 1])
  void metricNames
  void typedValue
})
