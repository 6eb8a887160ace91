import type { BatchReading } from '@penstock/core/delivery/batch.ts'
import { decodePayload } from '@penstock/core/sparkplug/codec.ts'
import { type BornTag, planBirths } from '@penstock/edge/uplink/births.ts'
import { SessionWriter } from '@penstock/edge/uplink/session-writer.ts'
import { describe, expect, test } from 'vitest'
import { meter, startMs } from './world.ts'

describe('order of the metrics of one message', () => {
  const device = planBirths([meter], new Map()).devices.get('plant:fm-1')
  const [flow, total] = device?.tags ?? []
  if (!device || !flow || !total) throw new Error('no tags')

  const reading = (value: number | bigint, ms: number): BatchReading => ({
    ...{
      tag: 'plant/fm-1/x',
      type: typeof value === 'bigint' ? 'Int64' : 'Double',
      value,
      quality: 'good',
      reason: null,
    },
    ...{ sourceTimestamp: startMs + ms, monotonicMs: ms },
  })
  const head = { session: 1, class: 'raw', from: 0, pos: 0, crc: 0 } as const

  function times(tags: readonly BornTag[], readings: readonly BatchReading[], historical: boolean): number[] {
    const sent: number[] = []
    const writer = new SessionWriter(
      (_verb, _device, payload) => {
        sent.push(...decodePayload(payload).metrics.map(({ timestamp = 0 }) => timestamp - startMs))
      },
      () => startMs,
    )
    writer.batch(device ?? null, head, tags, readings, historical)
    return sent
  }

  test('the oldest value first', () => {
    expect(times([flow, total], [reading(1, 20), reading(2n, 10)], false)).toEqual([10, 20])
  })

  test('counts of one tag as they were read, when the clock of the instrument was put back', () => {
    const counts = [reading(1n, 20), reading(2n, 10), reading(3n, 15)]
    expect(times([total, total, total], counts, false)).toEqual([20, 10, 15])
    expect(times([flow, total], [reading(1, 20), reading(2n, 10)], true)).toEqual([20, 10])
  })
})
