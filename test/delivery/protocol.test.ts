import { describe, expect, test } from 'vitest'
import { broken, scenarios, troubleFor } from './scenarios.ts'
import { type Rule, simulate } from './simulation.ts'

/**
 * The delivery protocol on the real code of edge and gateway, in one process: manual time, a network and disks that misbehave.
 * PENSTOCK_RUNS: runs a scenario; PENSTOCK_SEED: the first seed. A failure names the seed.
 */
const runs = Number(process.env.PENSTOCK_RUNS ?? 5)
const firstSeed = Number(process.env.PENSTOCK_SEED ?? 1)
const limitMs = 20_000 + runs * 2_000

describe('what returned from the fdatasync of the outbox takes effect exactly once, in order, or is declared lost', () => {
  test.each(Object.entries(scenarios))(
    '%s',
    async (name, scenario) => {
      let delivered = 0
      for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
        const outcome = await simulate(seed, scenario)
        expect(broken(outcome, scenario), `${name}, seed ${seed}`).toEqual([])
        delivered += outcome.delivered
      }
      expect(delivered).toBeGreaterThan(0)
    },
    limitMs,
  )
})

test('the same seed gives the same run', async () => {
  const scenario = scenarios['images and backups']
  if (!scenario) throw new Error('no such scenario')
  expect(await simulate(firstSeed, scenario)).toEqual(await simulate(firstSeed, scenario))
})

/** Each rule is there for something: without it the promise breaks, and this suite would see it. */
describe('without a rule', () => {
  const enough = Math.max(100, runs)

  test.each(Object.entries(troubleFor))(
    '%s',
    async (rule, trouble) => {
      const scenario = { ...trouble, rules: { [rule as Rule]: false } }
      for (let seed = firstSeed; seed < firstSeed + enough; seed++) {
        if (broken(await simulate(seed, scenario), scenario).length > 0) return
      }
      expect.fail(`${enough} runs without ${rule}, and nothing happened`)
    },
    60_000,
  )

  test.each(Object.entries(troubleFor))(
    'with %s the same trouble does no harm',
    async (rule, scenario) => {
      for (let seed = firstSeed; seed < firstSeed + Math.ceil(runs / 2); seed++) {
        expect(broken(await simulate(seed, scenario), scenario), `${rule}, seed ${seed}`).toEqual([])
      }
    },
    limitMs,
  )
})
