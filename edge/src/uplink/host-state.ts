import type { HostState } from '@penstock/core/sparkplug/state.ts'

/** What the edge has to do after a STATE message. */
export type StateVerdict = 'birth' | 'leave' | 'nothing'

/**
 * The primary host as one connection sees it. The retained STATE of a new connection sets the reference time, whatever was
 * seen before, so that a host whose clock was wrong once is not ignored for ever; later ones count from that time on
 * (tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp, tck-id-operational-behavior-edge-node-termination-host-offline-timestamp).
 */
export class HostWatch {
  #reference: number | null = null
  #online = false

  get online(): boolean {
    return this.#online
  }

  /** Whether any STATE was seen on this connection. */
  get known(): boolean {
    return this.#reference !== null
  }

  take({ online, timestamp }: HostState): StateVerdict {
    if (this.#reference !== null && timestamp < this.#reference) return 'nothing'
    const was = this.#online
    this.#reference = timestamp
    this.#online = online
    if (online) return was ? 'nothing' : 'birth'
    return 'leave'
  }
}

const takeoverWindowMs = 60_000
const takeovers = 3
const shortLifeMs = 20_000

/**
 * Recognises that another client uses our id: the broker ends one connection for the other, so both live shortly and again and
 * again. Three such ends in a minute are one finding.
 */
export class TakeoverWatch {
  #ends: number[] = []

  /** A connection that the other side ended, after so long. True: it is time to leave the identity alone for a while. */
  ended(now: number, livedMs: number, reason: string): boolean {
    if (livedMs > shortLifeMs && !reason.includes('took over')) return false
    this.#ends = [...this.#ends.filter(at => now - at < takeoverWindowMs), now]
    if (this.#ends.length < takeovers) return false
    this.#ends = []
    return true
  }
}
