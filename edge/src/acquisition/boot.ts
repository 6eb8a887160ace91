import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Ticker } from '@penstock/core/runtime/clock.ts'

/** The run of this machine, and its monotonic time: what stamps can be put right with when the clock was wrong. */
export interface Boot {
  readonly id: string
  /** ms since the machine started; the same for every process */
  monotonicMs(): number
}

/** Linux names each boot; elsewhere each process is taken for one. */
export function openBoot(ticker: Ticker): Boot {
  const offset = Number(process.hrtime.bigint() / 1000n) / 1000 - ticker.now()
  return { id: bootId(), monotonicMs: () => Math.round(ticker.now() + offset) }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return randomUUID()
  }
}
