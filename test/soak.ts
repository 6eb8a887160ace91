import { parseArgs } from 'node:util'
import { killsLoseNothing } from './support/kills.ts'
import { mosquitto } from './support/processes.ts'
import { World } from './support/world.ts'

// `npm run soak -- --kills 1000 --seed N`: the kill test for as long as wanted; by hand, not in CI.
const { values } = parseArgs({
  options: { kills: { type: 'string', default: '1000' }, seed: { type: 'string', default: '1' } },
})
const kills = Number(values.kills)
const seed = Number(values.seed)
const begun = performance.now()
const world = await World.open({ broker: mosquitto ? 'mosquitto-5' : 'embedded', scenario: 'calm-day', seed })
try {
  const totals = await killsLoseNothing(world, kills, seed)
  const minutes = ((performance.now() - begun) / 60_000).toFixed(1)
  console.log(
    `${kills} kills, seed ${seed}, ${minutes} min: nothing lost, nothing twice; ${totals} totals at the gateway`,
  )
} finally {
  await world.close()
}
