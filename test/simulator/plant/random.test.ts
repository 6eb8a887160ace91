import { Random, Wander } from '@penstock/simulator/plant/random.ts'
import { describe, expect, it } from 'vitest'

const draws = (seed: number, name: string, count: number): number[] => {
  const random = new Random(seed, name)
  return Array.from({ length: count }, () => random.next())
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
const product = (a: readonly number[], b: readonly number[]): number =>
  mean(a.map((value, index) => (value - 0.5) * ((b[index] ?? 0) - 0.5)))

describe('random streams', () => {
  it('are the same for the same seed and name, and have nothing to do with each other otherwise', () => {
    const one = draws(1, 'wind', 5000)
    expect(draws(1, 'wind', 5000)).toEqual(one)
    expect(mean(one)).toBeCloseTo(0.5, 1)
    expect(product(one, one)).toBeCloseTo(1 / 12, 2)
    expect(Math.abs(product(one, draws(2, 'wind', 5000)))).toBeLessThan(0.006)
    expect(Math.abs(product(one, draws(1, 'flow', 5000)))).toBeLessThan(0.006)
  })

  it('wander with the deviation asked for, whatever the step', () => {
    for (const stepMs of [200, 10_000]) {
      const wander = new Wander(new Random(3, 'w'), 2, 5000)
      const values = Array.from({ length: 40_000 }, () => wander.step(stepMs))
      expect(Math.sqrt(mean(values.map(value => value * value)))).toBeCloseTo(2, 0)
    }
  })
})
