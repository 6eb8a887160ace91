import { Breaker } from '@penstock/edge/drivers/modbus/breaker.ts'
import { expect, test } from 'vitest'
import { ManualTime } from '../../../support/manual-time.ts'

const options = { threshold: 3, firstRetryMs: 1000, longestRetryMs: 8000 }
const open = (random = 0.5) => {
  const time = new ManualTime(1000)
  return { time, breaker: new Breaker(time, options, () => random) }
}

test('opens at the third failure in a row, not before', () => {
  const { time, breaker } = open()
  const opened = [1, 2, 3].map(() => {
    time.jump(500)
    return breaker.failed(time.now() - 100)
  })
  expect(opened).toEqual([false, false, true])
  expect(breaker.isOpen).toBe(true)
})

test('an answer in between starts the count again', () => {
  const { time, breaker } = open()
  for (let round = 0; round < 10; round++) {
    time.jump(500)
    expect(breaker.failed(time.now())).toBe(false)
    time.jump(500)
    if (round % 2) expect(breaker.succeeded()).toBe(false)
  }
  expect(breaker.isOpen).toBe(false)
})

test('requests that were in flight together count once', () => {
  const { time, breaker } = open()
  time.jump(500)
  for (let request = 0; request < 8; request++) expect(breaker.failed(1000)).toBe(false)
  expect(breaker.failures).toBe(1)
})

test('the back-off doubles up to its maximum, and is spread by a fifth', () => {
  const waits = (random: number): number[] => {
    const { time, breaker } = open(random)
    const all: number[] = []
    for (let failure = 0; failure < 8; failure++) {
      time.jump(1)
      breaker.failed(time.now())
      if (breaker.isOpen) all.push(Math.round(breaker.nextTryAt - time.now()))
    }
    return all
  }
  expect(waits(0.5)).toEqual([1000, 2000, 4000, 8000, 8000, 8000])
  expect(waits(0)[0]).toBe(800)
  expect(waits(0.999)[0]).toBe(1200)
})

test('closes at the first answer and forgets the back-off; hurry probes at once', () => {
  const { time, breaker } = open()
  for (let failure = 0; failure < 5; failure++) {
    time.jump(1)
    breaker.failed(time.now())
  }
  breaker.hurry()
  expect(breaker.nextTryAt).toBe(time.now())
  expect(breaker.succeeded()).toBe(true)
  expect(breaker.isOpen).toBe(false)
  expect(breaker.failures).toBe(0)
})
