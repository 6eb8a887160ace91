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
  #issued: ReadonlySet<number> = new Set()
  /** the other gateway: last timestamp, when it was last heard, when we last spoke because of it */
  #stranger: { timestamp: number; answeredAt: number; probedAt: number; silent: number } | null = null

  /** A new connection: its timestamp, and all that were issued. */
  connected(own: number, issued: readonly number[]): void {
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
    const ours = timestamp === this.#own || this.#issued.has(timestamp)
    if (!online) {
      // Gone, whoever it was; a will of an earlier connection of ours has overwritten what we said.
      if (!ours) this.#stranger = null
      return timestamp > this.#own ? 'reconnect' : 'republish'
    }
    if (ours) return 'nothing'
    // Kept by the broker: it may be long gone. If not, it answers when we say that we are online.
    if (retained) return timestamp > this.#own ? 'reconnect' : 'nothing'
    const known = this.#stranger
    const answer = !known || known.timestamp !== timestamp || tick - known.answeredAt >= answerAgainMs
    this.#stranger = {
      timestamp,
      answeredAt: answer ? tick : (known?.answeredAt ?? tick),
      probedAt: known?.probedAt ?? tick,
      silent: 0,
    }
    return answer ? 'republish' : 'nothing'
  }

  /** Asks whether the other one is still there: true when our STATE is to be published once more. */
  probe(tick: number): boolean {
    if (!this.#stranger || tick < this.dueAt) return false
    this.#stranger.probedAt = tick
    if (++this.#stranger.silent <= silentProbes) return true
    this.#stranger = null
    return false
  }
}
