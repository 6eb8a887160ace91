import { Detector } from '@penstock/simulator/plant/detector.ts'
import { ppmOf, Room } from '@penstock/simulator/plant/gas.ts'
import { Random } from '@penstock/simulator/plant/random.ts'
import { Emission, plume, Wind } from '@penstock/simulator/plant/wind.ts'
import { describe, expect, it } from 'vitest'

const options = {
  gas: 'chlorine' as const,
  volumeM3: 100,
  storedKg: 1,
  airChangesPerHour: 6,
  emergencyAirChangesPerHour: 60,
  absorbed: 0.9,
  decayPerHour: 1,
  fanRunOnMs: 60_000,
}
const still = () => new Wind({ meanMetresPerSecond: 2, towardsDegrees: 0 }, new Random(1, 'wind'))

describe('a room', () => {
  it('keeps the mass: released is in the air, outside or removed', () => {
    const room = new Room(options)
    room.leakMgPerSecond = 200
    for (let second = 1; second <= 600; second++) {
      if (second === 100) room.interlock(second * 1000)
      if (second === 300) room.leakMgPerSecond = 0
      room.step(second * 1000, 1000)
    }
    expect(room.releasedMg).toBeCloseTo(299 * 200, 6)
    expect(room.airMg + room.outsideMg + room.removedMg).toBeCloseTo(room.releasedMg, 6)
    expect(room.storedMg).toBeCloseTo(1e6 - room.releasedMg, 6)
    expect(room.outsideMg).toBeGreaterThan(0)
  })

  it('comes to release over ventilation, in steps of any length alike', () => {
    const run = (stepMs: number): number => {
      const room = new Room({ ...options, decayPerHour: 0 })
      room.leakMgPerSecond = 10
      for (let now = stepMs; now <= 3_600_000; now += stepMs) room.step(now, stepMs)
      return room.mgPerM3
    }
    // 10 mg/s into 6 × 100 m³/h
    expect(run(1000)).toBeCloseTo(60 * (1 - Math.exp(-6)), 3)
    expect(run(10_000)).toBeCloseTo(run(200), 6)
  })

  it('cannot release more than its vessels hold', () => {
    const room = new Room({ ...options, storedKg: 0.001 })
    room.leakMgPerSecond = 400
    for (let second = 1; second <= 10; second++) room.step(second * 1000, 1000)
    expect([room.releasedMg, room.storedMg]).toEqual([1000, 0])
  })

  it('blows with the fan until the run-on after the last interlock', () => {
    const room = new Room(options)
    room.interlock(0)
    room.step(59_000, 1000)
    expect(room.fanRunning).toBe(true)
    room.step(60_000, 1000)
    expect(room.fanRunning).toBe(false)
  })
})

describe('concentrations', () => {
  it('are converted at 20 °C as the table of GB/T 50493 set points has them', () => {
    expect(ppmOf('chlorine', 1)).toBeCloseTo(0.339, 3)
    expect(ppmOf('ammonia', 20)).toBeCloseTo(28.25, 2)
  })
})

describe('a detector', () => {
  const at = (distanceM: number, noisePpm = 0) =>
    new Detector(
      { gas: 'chlorine', place: { kind: 'inside', distanceM }, t90Ms: 20_000, noisePpm, stepPpm: 0.001 },
      new Random(1, 'cell'),
    )

  it('shows 90 % of a step after its T90', () => {
    const room = new Room({ ...options, airChangesPerHour: 0, decayPerHour: 0 })
    room.airMg = 1000
    const detector = at(0)
    for (let now = 200; now <= 20_000; now += 200) detector.step(now, 200, room, still(), new Emission())
    expect(detector.ppm).toBeCloseTo(0.9 * ppmOf('chlorine', 10), 2)
  })

  it('is later the further away it hangs', () => {
    const room = new Room({ ...options, airChangesPerHour: 0, decayPerHour: 0 })
    room.airMg = 1000
    const [near, far] = [at(1), at(10)]
    for (let now = 200; now <= 10_000; now += 200) {
      for (const detector of [near, far]) detector.step(now, 200, room, still(), new Emission())
    }
    expect(far.ppm).toBeLessThan(0.6 * near.ppm)
  })
})

describe('a plume', () => {
  it('arrives with the wind, after the way, and only downwind', () => {
    const emission = new Emission()
    emission.add(0, 100)
    const wind = still()
    const inWind = (now: number) => plume(emission, wind, { distanceM: 20, bearingDegrees: 0 }, now)
    expect(inWind(9_900)).toBe(0)
    expect(inWind(10_100)).toBeGreaterThan(0)
    expect(plume(emission, wind, { distanceM: 20, bearingDegrees: 180 }, 60_000)).toBe(0)
    expect(plume(emission, wind, { distanceM: 20, bearingDegrees: 40 }, 60_000)).toBeLessThan(0.01 * inWind(60_000))
    expect(plume(emission, wind, { distanceM: 40, bearingDegrees: 0 }, 60_000)).toBeLessThan(0.5 * inWind(60_000))
  })
})
