/** What is wrong with the way to the gateway; null: nothing. */
export type UplinkProblem =
  | null
  | 'not-connected'
  | 'host-offline'
  | 'nothing-confirmed'
  | 'other-ledger'
  | 'identity-in-use'
  | 'not-authorised'

export interface ProblemFacts {
  readonly group: string
  readonly edge: string
  readonly host: string
  /** user at the broker */
  readonly username: string | null
  /** ledger that this edge belongs to */
  readonly pinned: string | null
  readonly otherLedger: string | null
  /** what the broker said when it refused */
  readonly refused: string | null
}

/** The problem in words, with what to do about it. */
export function describeProblem(problem: UplinkProblem, facts: ProblemFacts): string | null {
  const { group, edge, host, pinned, otherLedger, refused } = facts
  const user = facts.username ?? 'the anonymous user'
  switch (problem) {
    case null:
      return null
    case 'not-connected':
      return 'no connection to the broker; readings are kept'
    case 'host-offline':
      return `connected, but the host application "${host}" is not online; readings are kept`
    case 'nothing-confirmed':
      // QoS 0 has no answer, and an access list that forbids says nothing in any version of MQTT
      return `connected, host online, nothing confirmed: does the broker's ACL let ${user} write spBv1.0/${group}/+/${edge}/#, and does the gateway "${host}" know this edge?`
    case 'other-ledger':
      return `a second gateway confirms (ledger ${otherLedger}, this edge belongs to ${pinned}); it is not obeyed. If the gateway was set up anew, run "outbox reset" on this edge`
    case 'identity-in-use':
      return `another box uses my identity ${group}/${edge}; trying again in a minute`
    case 'not-authorised':
      return refused
  }
}
