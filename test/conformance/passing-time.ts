import type { ManualTime } from '../support/manual-time.ts'

const realPause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
const patienceMs = 8_000

/** Waits for the sockets; manual time goes on about as fast as real time. */
export async function until(time: ManualTime, what: string, is: () => boolean): Promise<void> {
  const giveUp = performance.now() + patienceMs
  while (!is()) {
    if (performance.now() > giveUp) throw new Error(`not within ${patienceMs / 1000} s: ${what}`)
    await time.advance(1)
    await realPause(1)
  }
}

/** Until a promise has settled. */
export async function done<T>(time: ManualTime, what: string, work: Promise<T>): Promise<T> {
  let settled = false
  const settle = () => {
    settled = true
  }
  work.then(settle, settle)
  await until(time, what, () => settled)
  return work
}

/** Lets time pass, then lets arrive what was sent meanwhile. */
export async function pass(time: ManualTime, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) await time.advance(Math.min(100, left))
  for (let n = 0; n < 4; n++) {
    await realPause(3)
    await time.advance(0)
  }
}
