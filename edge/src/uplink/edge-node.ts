import { type AlarmLimits, parseAlarmLimits } from '@penstock/core/delivery/alarm-limits.ts'
import type { Batch } from '@penstock/core/delivery/batch.ts'
import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { DeliveryClass } from '@penstock/core/reading.ts'
import { type Cancel, sleep, type Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { ConnectLink, Link } from '@penstock/core/runtime/link.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { Attempted } from '@penstock/core/runtime/supervisor.ts'
import { parseState } from '@penstock/core/sparkplug/state.ts'
import { deviceCommandFilter, deviceTopic, nodeTopic, parseTopic, stateTopic } from '@penstock/core/sparkplug/topics.ts'
import { HostWatch, TakeoverWatch } from './host-state.ts'
import { readCommands } from './node-commands.ts'
import type { Outbox } from './outbox.ts'
import type { DeliveryRules } from './rules.ts'
import { Session, type SessionCounters } from './session.ts'
import { ndeathPayload, type Publish } from './session-writer.ts'
import type { UplinkSource } from './source.ts'
import { describeProblem, type UplinkProblem } from './uplink-problem.ts'

export interface EdgeNodeOptions {
  readonly group: string
  readonly edge: string
  /** Sparkplug primary host id */
  readonly host: string
  /** user at the broker, for messages */
  readonly username: string | null
  /** how many brokers `connect` walks through */
  readonly servers: number
  readonly software: string
  readonly connect: ConnectLink
  readonly outbox: Outbox
  readonly source: UplinkSource
  readonly ticker: Ticker
  readonly log: Logger
  /** uniform in [0, 1) */
  readonly random: () => number
  readonly limits: () => { readonly hash: string; readonly limits: AlarmLimits } | null
  /** New alarm limits came from the gateway; durable before the edge reports their hash. */
  readonly onLimits: (hash: string, limits: AlarmLimits) => Promise<void>
  readonly rules?: DeliveryRules
}

export interface EdgeNodeStatus {
  readonly connected: boolean
  readonly hostOnline: boolean
  readonly problem: UplinkProblem
  /** `problem` in words, with what to do */
  readonly text: string | null
  /** ms since the last confirmation of this run; null: none yet */
  readonly sinceConfirmMs: number | null
}

const birthJitterMs = 2_000
const rebirthCoalesceMs = 1_000
const goodbyeMs = 1_000
const unconfirmedMs = 60_000
const takeoverPauseMs = 60_000
/** A gateway confirms at least every 30 s; after this time the second one is gone. */
const otherLedgerMs = 120_000
/** Nothing sensible that is sent to an edge is larger. */
const largestCommand = 1024 * 1024

interface Connection {
  readonly link: Link
  readonly bdSeq: number
  readonly since: number
  readonly host: HostWatch
  session: Session | null
  birthTimer: Cancel | undefined
  watchTimer: Cancel | undefined
  rebirthAt: number
  /** we end it ourselves */
  leaving: Promise<void> | undefined
}

/**
 * The Sparkplug edge node: one attempt of the supervisor is one connection, from CONNECT to its end. Waits for the primary
 * host, gives birth, and hands the rest to the session. Source: delivery protocol, rules 2, 3, 4, 11 and 12.
 */
export class EdgeNode {
  readonly counters: SessionCounters = {
    births: 0,
    batches: 0,
    batchBytes: 0,
    liveCopies: 0,
    timeouts: 0,
    confirmations: 0,
    ignoredConfirmations: 0,
    ignoredCommands: 0,
  }
  readonly #options: EdgeNodeOptions
  readonly #takeovers = new TakeoverWatch()
  #connection: Connection | null = null
  #pauseUntil = Number.NEGATIVE_INFINITY
  #otherLedger: { readonly ledger: string; readonly at: number } | null = null
  #refused: string | null = null
  #confirmedAt: number | null = null
  #limitsWork: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: EdgeNodeOptions) {
    this.#options = options
  }

  get session(): Session | null {
    return this.#connection?.session ?? null
  }

  status(): EdgeNodeStatus {
    const { ticker } = this.#options
    const connection = this.#connection
    const problem = this.#problem()
    const confirmedAt = this.#lastConfirmedAt()
    return {
      connected: connection !== null,
      hostOnline: connection?.host.online ?? false,
      problem,
      text: this.#textOf(problem),
      sinceConfirmMs: confirmedAt === null ? null : ticker.now() - confirmedAt,
    }
  }

  /** For the supervisor. @throws PenstockError `broker-unreachable` | `broker-refused` | `disk-failed` | `disk-full` */
  async attempt(signal: AbortSignal): Promise<Attempted> {
    const { outbox, ticker, connect, group, edge, host } = this.#options
    const pause = this.#pauseUntil - ticker.now()
    if (pause > 0) await sleep(ticker, pause, signal)
    const bdSeq = await outbox.identity.nextBdSeq()
    // what arrives before the SUBACK waits for it (rule 2)
    let subscribed: Connection | undefined
    const early: [topic: string, payload: Uint8Array, retain: boolean][] = []
    const link = await connect({
      clientId: `${group}.${edge}`,
      will: {
        topic: nodeTopic(group, 'NDEATH', edge),
        payload: ndeathPayload(bdSeq, outbox.stamps.now()),
        qos: 1,
        retain: false,
      },
      onMessage: (topic, payload, { retain }) => {
        if (subscribed) this.#message(subscribed, topic, payload, retain)
        else early.push([topic, payload, retain])
      },
      signal,
    }).catch(error => {
      this.#refused = refusal(error)
      throw error
    })
    this.#refused = null
    const connection: Connection = {
      ...{ link, bdSeq, since: ticker.now(), host: new HostWatch(), session: null },
      ...{ birthTimer: undefined, watchTimer: undefined, rebirthAt: Number.NEGATIVE_INFINITY, leaving: undefined },
    }
    this.#connection = connection
    const ended = link.ended.then(reason => {
      this.#ended(connection, reason)
      return reason
    })
    try {
      // commands first: whoever sees our STATE subscription answered may command us
      // (tck-id-message-flow-edge-node-ncmd-subscribe, tck-id-message-flow-edge-node-birth-publish-phid-wait)
      const filters = [nodeTopic(group, 'NCMD', edge), deviceCommandFilter(group, edge), stateTopic(host)]
      await link.subscribe(filters, 1)
    } catch (error) {
      this.#refused = refusal(error)
      await link.close()
      throw error
    }
    subscribed = connection
    for (const message of early) this.#message(connection, ...message)
    return { ended, close: () => this.#leave(connection, 'asked to stop') }
  }

  /** Readings that are in the outbox now. */
  report(batch: Batch): void {
    this.session?.report(batch)
  }

  deviceState(device: string, online: boolean): void {
    this.session?.deviceState(device, online)
  }

  diagnosis(device: string, diagnosis: DeviceDiagnosis): void {
    this.session?.diagnosis(device, diagnosis)
  }

  /** From the outbox: more may be published. */
  ready(_name: DeliveryClass): void {
    this.session?.pump()
  }

  slow(_name: DeliveryClass): void {
    this.session?.look()
  }

  /** NDEATH before DISCONNECT (tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath); idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    const connection = this.#connection
    if (connection) await this.#leave(connection, 'asked to stop')
    await this.#limitsWork
  }

  #message(connection: Connection, topic: string, payload: Uint8Array, retain: boolean): void {
    if (connection.leaving || this.#connection !== connection) return
    const { group, edge, host } = this.#options
    const parsed = parseTopic(topic)
    if (parsed?.kind === 'state' && parsed.host === host) return void this.#state(connection, payload, retain)
    // a retained command would be obeyed again at every connection; the specification forbids it (tck-id-payloads-ncmd-retain)
    if (parsed?.kind !== 'node' || parsed.verb !== 'NCMD' || retain) return
    if (parsed.group !== group || parsed.edge !== edge || payload.length > largestCommand) return
    this.#command(connection, payload)
  }

  #state(connection: Connection, payload: Uint8Array, retain: boolean): void {
    const state = parseState(payload)
    if (!state) return
    const { log, random, ticker, servers, host } = this.#options
    const verdict = connection.host.take(state)
    if (verdict === 'birth' && !connection.session) {
      connection.birthTimer?.()
      // retained: the host has been there all the time; else it has just started, and all edges are born now
      const jitterMs = retain ? 0 : random() * birthJitterMs
      if (jitterMs === 0) this.#birth(connection)
      else connection.birthTimer = ticker.after(jitterMs, () => this.#birth(connection))
    }
    if (verdict !== 'leave') return
    connection.birthTimer?.()
    connection.birthTimer = undefined
    if (connection.session || servers > 1) {
      log.warn({ host }, 'the host application went offline')
      void this.#leave(connection, 'the host application is offline')
    }
  }

  #birth(connection: Connection): void {
    const { group, edge, outbox, source, ticker, log, random, rules = {}, host, software, limits } = this.#options
    connection.birthTimer = undefined
    if (connection.leaving || connection.session || this.#connection !== connection || this.#closed) return
    const publish: Publish = (verb, device, payload) => {
      const topic =
        device === null
          ? nodeTopic(group, verb === 'NBIRTH' ? 'NBIRTH' : 'NDATA', edge)
          : deviceTopic(group, verb === 'DBIRTH' || verb === 'DDEATH' ? verb : 'DDATA', edge, device)
      connection.link.publish(topic, payload, { qos: 0, retain: false })
    }
    const session = new Session({
      ...{ outbox, source, ticker, log, random, rules, host, software, limits, publish },
      bdSeq: connection.bdSeq,
      queuedBytes: () => connection.link.queuedBytes,
      onOtherLedger: ledger => this.#sawOtherLedger(ledger),
      counters: this.counters,
    })
    connection.session = session
    log.info({ host, bdSeq: connection.bdSeq }, 'host online: births')
    session.born()
    this.#watchConfirmations(connection, session)
  }

  #command(connection: Connection, payload: Uint8Array): void {
    const { log, ticker } = this.#options
    const session = connection.session
    for (const command of readCommands(payload)) {
      if (command.kind === 'confirm') session?.confirm(command.confirm, command.sentAt)
      else if (command.kind === 'limits') this.#takeLimits(command.text)
      else if (command.kind === 'senseless') {
        this.counters.ignoredCommands++
        log.warn({ problem: command.problem }, 'a command makes no sense')
      }
      // several requests in one second are one
      else if (session && ticker.now() - connection.rebirthAt >= rebirthCoalesceMs) {
        connection.rebirthAt = ticker.now()
        log.info('the host application asks for births')
        session.born()
      }
    }
  }

  #takeLimits(text: string): void {
    const { log, limits, onLimits } = this.#options
    const { value, problem } = parseAlarmLimits(text)
    if (!value) return void log.warn({ problem }, 'alarm limits make no sense')
    this.#limitsWork = this.#limitsWork
      .then(async () => {
        // repeated until the hash is seen: tell it again, the answer may have been lost
        if (value.hash !== limits()?.hash) await onLimits(value.hash, value.limits)
        this.session?.limitsChanged()
      })
      .catch(error => log.error({ err: error }, 'alarm limits could not be kept'))
  }

  #ended(connection: Connection, reason: string): void {
    const { ticker, log, group, edge } = this.#options
    const confirmedAt = connection.session?.confirmedAt
    if (confirmedAt != null) this.#confirmedAt = confirmedAt
    connection.session?.close()
    connection.birthTimer?.()
    connection.watchTimer?.()
    if (this.#connection === connection) this.#connection = null
    if (connection.leaving) return
    if (!this.#takeovers.ended(ticker.now(), ticker.now() - connection.since, reason)) return
    this.#pauseUntil = ticker.now() + takeoverPauseMs
    log.error(
      { group, edge, reason },
      'another box uses my identity: the broker ended three connections in a minute; waiting 60 s',
    )
  }

  #leave(connection: Connection, why: string): Promise<void> {
    connection.leaving ??= this.#goodbye(connection, why)
    return connection.leaving
  }

  async #goodbye(connection: Connection, why: string): Promise<void> {
    const { group, edge, outbox, ticker, log } = this.#options
    const { link, session, bdSeq } = connection
    connection.birthTimer?.()
    connection.watchTimer?.()
    session?.close()
    log.info({ why }, 'leaving the broker')
    if (session) {
      const enough = new AbortController()
      const said = link
        .publishConfirmed(nodeTopic(group, 'NDEATH', edge), ndeathPayload(bdSeq, outbox.stamps.now()), {
          retain: false,
        })
        .catch(() => {})
      await Promise.race([said, sleep(ticker, goodbyeMs, enough.signal).catch(() => {})])
      enough.abort()
    }
    // MQTT 5 must say so in DISCONNECT (tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt50)
    await link.close({ withWill: session !== null })
  }

  /** Once a minute without confirmation the log says what that may be (QoS 0 and ACLs give no answer). */
  #watchConfirmations(connection: Connection, session: Session): void {
    const { ticker, log } = this.#options
    connection.watchTimer?.()
    connection.watchTimer = ticker.after(unconfirmedMs, () => {
      if (connection.session !== session || connection.leaving) return
      const problem = this.#problem()
      if (problem) log.error({ problem }, this.#textOf(problem) ?? problem)
      this.#watchConfirmations(connection, session)
    })
  }

  #sawOtherLedger(ledger: string): void {
    const { log, outbox, ticker } = this.#options
    if (this.#otherLedger?.ledger !== ledger) {
      log.error(
        { ledger, pinned: outbox.identity.ledger },
        'a second gateway confirms; it is not obeyed and nothing is deleted',
      )
    }
    this.#otherLedger = { ledger, at: ticker.now() }
  }

  #lastConfirmedAt(): number | null {
    return this.session?.confirmedAt ?? this.#confirmedAt
  }

  #problem(): UplinkProblem {
    const { ticker } = this.#options
    const now = ticker.now()
    if (this.#otherLedger && now - this.#otherLedger.at < otherLedgerMs) return 'other-ledger'
    if (this.#refused !== null) return 'not-authorised'
    const connection = this.#connection
    if (!connection) return now < this.#pauseUntil ? 'identity-in-use' : 'not-connected'
    const session = connection.session
    if (!session) return 'host-offline'
    const since = session.confirmedAt ?? session.bornAt
    return now - since >= unconfirmedMs ? 'nothing-confirmed' : null
  }

  #textOf(problem: UplinkProblem): string | null {
    const { group, edge, host, username, outbox } = this.#options
    const facts = { group, edge, host, username, pinned: outbox.identity.ledger }
    return describeProblem(problem, {
      ...facts,
      otherLedger: this.#otherLedger?.ledger ?? null,
      refused: this.#refused,
    })
  }
}

const refusal = (error: unknown): string | null =>
  error instanceof PenstockError && error.code === 'broker-refused' ? error.message : null
