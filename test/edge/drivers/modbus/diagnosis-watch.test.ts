import { watchDiagnoses } from '@penstock/edge/drivers/modbus/diagnosis-watch.ts'
import type { Unit } from '@penstock/edge/drivers/modbus/unit.ts'
import { expect, it } from 'vitest'
import { ManualTime } from '../../../support/manual-time.ts'

it('tells of trouble within 10 s and of healthy traffic every minute', async () => {
  const time = new ManualTime()
  const counters = { requests: 0, answers: 0, scans: 0, timeouts: 0 }
  const unit = { diagnosis: { counters } } as unknown as Unit
  const told: number[] = []
  const stop = watchDiagnoses([unit], time, () => told.push(time.now()))
  const traffic = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 1000) {
      counters.requests++
      counters.answers++
      await time.advance(1000)
    }
  }
  await traffic(140_000)
  expect(told).toEqual([10_000, 70_000, 130_000])
  counters.timeouts++
  await traffic(10_000)
  expect(told.at(-1)).toBe(150_000)
  stop()
  await traffic(120_000)
  expect(told.length).toBe(4)
})
