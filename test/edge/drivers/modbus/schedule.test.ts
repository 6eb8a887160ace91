import { describeDevice } from '@penstock/edge/acquisition/devices.ts'
import { skipDue, spreadPhases, startDue } from '@penstock/edge/drivers/modbus/schedule.ts'
import { type Job, Unit } from '@penstock/edge/drivers/modbus/unit.ts'
import { expect, test } from 'vitest'
import { ManualTime } from '../../../support/manual-time.ts'
import { builtInProfile, siteOf } from '../../acquisition/kit.ts'

class FakeJob implements Job {
  readonly unit: Unit
  dueAt = 0
  early = false
  queued = false
  running = false
  hasMore = false
  starts = 0

  constructor(unit: Unit) {
    this.unit = unit
  }

  start(): boolean {
    this.starts++
    return true
  }
  next = () => null
  stop(): void {}
  answered(): void {}
  failed(): void {}
  forget(): void {}
}

function unitWith(...periods: number[]): { unit: Unit; jobs: FakeJob[] } {
  const site = siteOf(
    {
      channels: [{ id: 'c', driver: 'modbus', host: '127.0.0.1' }],
      devices: [{ site: 'w', id: 'd', channel: 'c', profile: 'level-generic' }],
    },
    [builtInProfile('level-generic')],
  )
  const [config] = site.devices
  if (!config) throw new Error('no device')
  const unit = new Unit(describeDevice(site, config).device, 'test', 0, new ManualTime(), () => 0.5)
  const jobs = periods.map(() => new FakeJob(unit))
  for (const [index, job] of jobs.entries()) unit.periodic.push({ periodMs: periods[index] ?? 0, job })
  return { unit, jobs }
}

test('a timer that is always late moves no cycle: ten thousand cycles later the phase is the same', () => {
  const { unit, jobs } = unitWith(1000)
  const [job] = jobs
  let next = 0
  for (let cycle = 0; cycle < 10_000; cycle++) {
    const begun: Job[] = []
    next = startDue(unit, next + 7, started => begun.push(started))
    expect(begun).toEqual([job])
    expect(next).toBe((cycle + 1) * 1000)
  }
  expect(unit.diagnosis.counters.missedScans).toBe(0)
})

test('cycles that went by are counted and not made up for; a run that is not over misses its cycle', () => {
  const { unit, jobs } = unitWith(1000)
  const [job] = jobs
  if (!job) throw new Error('no job')
  expect(startDue(unit, 3500, () => {})).toBe(4000)
  expect([job.starts, unit.diagnosis.counters.missedScans]).toEqual([1, 3])
  job.running = true
  expect(startDue(unit, 4000, () => {})).toBe(5000)
  expect([job.starts, unit.diagnosis.counters.missedScans]).toEqual([1, 4])
})

test('a run out of turn leaves the phase alone, and waits for the run before it', () => {
  const { unit, jobs } = unitWith(1000)
  const [job] = jobs
  if (!job) throw new Error('no job')
  startDue(unit, 0, () => {})
  job.early = true
  job.running = true
  expect(startDue(unit, 300, () => {})).toBe(1000)
  expect([job.starts, job.early]).toEqual([1, true])
  job.running = false
  expect(startDue(unit, 400, () => {})).toBe(1000)
  expect([job.starts, job.early]).toEqual([2, false])
})

test('phases are spread over the period of each class, channels apart', () => {
  const units = Array.from({ length: 4 }, () => unitWith(1000, 60_000))
  spreadPhases(
    units.map(({ unit }) => unit),
    0.5,
    100,
  )
  expect(units.map(({ jobs }) => jobs.map(job => job.dueAt - 100))).toEqual([
    [125, 7500],
    [375, 22_500],
    [625, 37_500],
    [875, 52_500],
  ])
})

test('skipped cycles stay on the grid', () => {
  const { unit, jobs } = unitWith(1000)
  skipDue(unit, 2000)
  expect(jobs.map(job => job.dueAt)).toEqual([3000])
})
