import type { HostState } from '@penstock/core/sparkplug/state.ts'

/** `republish`: say online again with the same timestamp · `reconnect`: only a larger timestamp will be heard */
export type StateAnswer = 'nothing' | 'republish' | 'reconnect'

const answerAgainMs = 60_000
const probeMs = 60_000
/** So many probes without an answer, and the other gateway counts as gone. */
const silentProbes = 3

/**
 * What the messages on the gateway's own STATE topic mean. Edges listen to the largest timestamp, so ours must be it; a timestamp
 * that we did not issue comes from another gateway under the same host id, and two of them must not both confirm. A gateway that
 * hears another answers with its own STATE, so that both know.
 */
export class OwnState {
  #own = 0
  /** largest timestamp that was there when the connection before this one ended; 0: this is the first of the process */
  #previous = 0
  #heard = 0
  #issued: ReadonlySet<number> = new Set()
  /** the other gateway: last timestamp, when it was last heard, when we last spoke because of it */
  #stranger: { timestamp: number; answeredAt: number; probedAt: number; silent: number } | null = null

  /** A new connection: its timestamp, and all that were issued. */
  connected(own: number, issued: readonly number[]): void {
    this.#previous = Math.max(this.#own, this.#heard)
    this.#own = own
    this.#issued = new Set(issued)
  }

  /** Another gateway runs under this host id: nothing may be confirmed. */
  get isContested(): boolean {
    return this.#stranger !== null
  }

  /** Machine time of the next probe; Infinity: none. */
  get dueAt(): number {
    return this.#stranger ? this.#stranger.probedAt + probeMs : Number.POSITIVE_INFINITY
  }

  heard({ online, timestamp }: HostState, retained: boolean, tick: number): StateAnswer {
    const later = timestamp > this.#own
    this.#heard = Math.max(this.#heard, timestamp)
    if (timestamp === this.#own || this.#issued.has(timestamp)) return online ? 'nothing' : 'republish'
    if (retained) {
      // Kept by the broker, and maybe by a life of ours that was lost with a disk: if not, its owner answers when we say that we
      // are online. But what is later than all that was there before was said by another while we were running: two gateways
      // with one client id throw each other out, and never hear each other live.
      if (this.#previous > 0 && timestamp > this.#previous) this.#strange(timestamp, tick)
      return later ? 'reconnect' : online ? 'nothing' : 'republish'
    }
    if (online) return this.#strange(timestamp, tick) ? 'republish' : 'nothing'
    this.#stranger = null
    return later ? 'reconnect' : 'republish'
  }

  /** Asks whether the other one is still there: true when our STATE is to be published once more. */
  probe(tick: number): boolean {
    if (!this.#stranger || tick < this.dueAt) return false
    this.#stranger.probedAt = tick
    if (++this.#stranger.silent <= silentProbes) return true
    this.#stranger = null
    return false
  }

  /** Another gateway spoke. True when it should hear that we are here. */
  #strange(timestamp: number, tick: number): boolean {
    const known = this.#stranger
    const answer = !known || known.timestamp !== timestamp || tick - known.answeredAt >= answerAgainMs
    this.#stranger = {
      timestamp,
      answeredAt: answer ? tick : (known?.answeredAt ?? tick),
      probedAt: known?.probedAt ?? tick,
      silent: 0,
    }
    return answer
  }
}
