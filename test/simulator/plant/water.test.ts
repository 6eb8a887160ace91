import { Meter } from '@penstock/simulator/plant/meter.ts'
import { Random } from '@penstock/simulator/plant/random.ts'
import { SitePlant } from '@penstock/simulator/plant/site-plant.ts'
import { Flow, Tank } from '@penstock/simulator/plant/water.ts'
import { loadScenario } from '@penstock/simulator/scenario/load.ts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const runs = Number(process.env.PENSTOCK_RUNS ?? 30)
const start = Date.UTC(2026, 6, 10, 0)

function waterworks(seed: number): SitePlant {
  const site = loadScenario('calm-day').sites.find(({ id }) => id === 'waterworks')
  if (!site) throw new Error('no waterworks')
  return new SitePlant(site, seed, new Map())
}

const stored = (plant: SitePlant): number =>
  [...plant.tanks.values()].reduce((sum, { volumeMicro }) => sum + volumeMicro, 0)

describe('water', () => {
  it('is neither made nor lost, to the last 10⁻⁶ m³, whatever the steps and the operation', () => {
    const operation = fc.record({
      stepMs: fc.integer({ min: 50, max: 60_000 }),
      steps: fc.integer({ min: 1, max: 40 }),
      mode: fc.constantFrom('auto' as const, 'on' as const, 'off' as const),
      factor: fc.double({ min: 0, max: 5, noNaN: true }),
    })
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.array(operation, { minLength: 1, maxLength: 20 }),
        (seed, plan) => {
          const plant = waterworks(seed)
          const before = stored(plant)
          let now = start
          for (const { stepMs, steps, mode, factor } of plan) {
            for (const id of ['intake-1', 'intake-2']) Object.assign(plant.flows.get(id) ?? {}, { mode })
            Object.assign(plant.flows.get('town') ?? {}, { factor })
            for (let step = 1; step <= steps; step++) plant.step(now + step * stepMs, stepMs)
            now += steps * stepMs
          }
          const passed = (id: string) => plant.flows.get(id)?.passedMicro ?? Number.NaN
          const overflow = plant.tanks.get('clear-water')?.overflowMicro ?? Number.NaN
          expect(passed('intake-1') + passed('intake-2')).toBe(passed('town') + overflow + stored(plant) - before)
        },
      ),
      { numRuns: runs },
    )
  })

  it('is counted by each meter as what passed, to the resolution', () => {
    const plant = waterworks(7)
    let integral = 0
    for (let step = 1; step <= 20_000; step++) {
      plant.step(start + step * 200, 200)
      integral += ((plant.meters.get('fm-1')?.flowM3PerHour ?? Number.NaN) * 200) / 3_600_000
    }
    const meter = plant.meters.get('fm-1')
    const passed = plant.flows.get('intake-1')?.passedMicro ?? 0
    expect(Number(meter?.counted) * 1000 + (meter?.remainderMicro ?? 0)).toBe(passed)
    expect(Math.abs(Number(meter?.counted) / 1000 - integral)).toBeLessThan(0.001 + 1e-6)
    expect(integral).toBeGreaterThan(3000)
  })

  it('runs over the edge of a full tank and stops at an empty one', () => {
    const tank = new Tank(1, 0.9)
    tank.add(250_000)
    expect([tank.volumeMicro, tank.overflowMicro]).toEqual([1_000_000, 150_000])
    expect([tank.take(600_000), tank.take(600_000), tank.level]).toEqual([600_000, 400_000, 0])
  })
})

describe('a pump', () => {
  const night = { fromHour: 22, toHour: 6, startBelow: 0.8, stopAbove: 0.95 }
  const make = (level: number): { tank: Tank; pump: Flow } => {
    const tank = new Tank(1_000_000, level)
    const control = { startBelow: 0.5, stopAbove: 0.7, night }
    const drive = { kind: 'pump' as const, ratedM3PerHour: 100, rampMs: 10_000, control }
    return { tank, pump: new Flow({ from: null, to: tank, drive, noise: 0, random: new Random(1, 'pump') }) }
  }
  const day = Date.UTC(2026, 0, 10, 4)
  const late = Date.UTC(2026, 0, 10, 16)

  it('starts below one level, stops above another, and keeps what it did between them', () => {
    const { tank, pump } = make(0.8)
    const at = (level: number, now = day): boolean => {
      tank.volumeMicro = level * tank.capacityMicro
      pump.step(now, 1000)
      return pump.running
    }
    expect([at(0.75), at(0.6), at(0.49), at(0.6), at(0.71), at(0.6)]).toEqual([false, false, true, true, false, false])
    expect([at(0.75, late), at(0.9, late), at(0.96, late)]).toEqual([true, true, false])
  })

  it('takes its ramp to come to full flow and to stop', () => {
    const { pump } = make(0.1)
    const meter = new Meter(1, 0n)
    pump.meters.push(meter)
    pump.mode = 'off'
    for (let second = 0; second < 5; second++) pump.step(day, 1000)
    expect(meter.flowM3PerHour).toBeCloseTo(50, 1)
    for (let second = 0; second < 5; second++) pump.step(day, 1000)
    expect(meter.flowM3PerHour).toBe(0)
  })
})

describe('a meter', () => {
  it('counts whole units and carries the rest', () => {
    const meter = new Meter(1000, 5n)
    for (let pass = 0; pass < 7; pass++) meter.pass(300, 1000)
    expect([meter.counted, meter.remainderMicro]).toEqual([7n, 100])
    expect(meter.flowM3PerHour).toBeCloseTo(300e-6 * 3600, 9)
  })
})
