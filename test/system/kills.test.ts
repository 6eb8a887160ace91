import { afterEach, describe, expect, it } from 'vitest'
import { killsLoseNothing } from '../support/kills.ts'
import { mosquitto } from '../support/processes.ts'
import { World } from '../support/world.ts'

describe('kill -9 of edges, gateway and broker at random', () => {
  let world: World | undefined
  afterEach(() => world?.close())

  it.skipIf(!mosquitto)(
    'loses and doubles nothing, 30 times: the totals at the gateway are what the meters counted, to the last digit',
    async () => {
      world = await World.open({ broker: 'mosquitto-5', scenario: 'calm-day', seed: 7 })
      expect(await killsLoseNothing(world, 30, 20_261_121)).toBeGreaterThan(30)
    },
    280_000,
  )
})
