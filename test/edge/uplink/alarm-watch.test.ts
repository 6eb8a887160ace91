import { formatAlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import { metricNames } from '@penstock/core/delivery/wire.ts'
import type { Reading } from '@penstock/core/reading.ts'
import { birthMetric } from '@penstock/core/sparkplug/values.ts'
import { AlarmWatch } from '@penstock/edge/uplink/alarm-watch.ts'
import { describe, expect, it } from 'vitest'
import { World } from './world.ts'

const reading = (value: number | null, tag = 'plant/fm-1/flow'): Reading =>
  value === null
    ? { tag, type: 'Double', value, quality: 'bad', reason: 'timeout', sourceTimestamp: 0 }
    : { tag, type: 'Double', value, quality: 'good', reason: null, sourceTimestamp: 0 }

describe('readings that may change an alarm', () => {
  it('are those on another side of a limit than the one before, and those that come or go as a value', () => {
    const watch = new AlarmWatch()
    const limits = new Map([['plant/fm-1/flow', [8, 10]]])
    const seen = [1, 2, 7.9, 9, 9.5, 10, 11, 12, null, null, 12, 3].map(value =>
      watch.concerns([reading(value)], limits),
    )
    expect(seen).toEqual([true, false, false, true, false, true, true, false, true, false, true, true])
  })

  it('are none of tags without limits, and none while the limits are not known', () => {
    const watch = new AlarmWatch()
    expect(watch.concerns([reading(1)], null)).toBe(false)
    expect(watch.concerns([reading(1)], new Map())).toBe(false)
    expect(watch.concerns([reading(1), reading(99)], new Map([['plant/fm-2/flow', [10]]]))).toBe(false)
  })
})

describe('a reading that crosses an alarm limit', () => {
  it('is on its way at once; others wait for the next sync', async () => {
    const world = new World()
    await world.start()
    await world.hostOnline()
    await world.time.advance(3_000)
    const text = formatAlarmLimits(new Map([['plant/fm-1/flow', [10]]]))
    world.command([birthMetric('String', text, { name: metricNames.alarmLimits, timestamp: world.time.now() })])
    await world.time.advance(100)
    void world.report('flow', 1)
    await world.time.advance(1_000)
    world.forget()
    void world.report('flow', 2)
    await world.time.advance(200)
    expect(world.batches('raw')).toHaveLength(0)
    await world.time.advance(200)
    expect(world.batches('raw')).toHaveLength(1)
    void world.report('flow', 11)
    await world.time.advance(20)
    expect(world.batches('raw')).toHaveLength(2)
    await world.stop()
  })
})
