import type { ServerResponse } from 'node:http'
import type { Cancel } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { EventName } from '../contract/events.ts'
import type { EdgeBody } from '../contract/places.ts'
import type { HttpParts } from '../parts.ts'
import { edgeBodies } from '../views/places.ts'
import { tagBody } from '../views/tags.ts'
import { EventClient, eventText, maxUnreadBytes } from './client.ts'

/** Changes are collected for this long: at most four `tags` events a second. */
const collectMs = 250
/** Somebody waits for alarms: only what comes in one go is collected. */
const collectAlarmsMs = 20
const edgesEveryMs = 1_000
const heartbeatMs = 10_000
const maxClients = 200

interface Entry {
  readonly client: EventClient
  readonly isAllowed: () => Promise<boolean>
}

/** Sends what changes to all open event streams: each event is made once, whatever the number of clients. */
export class EventHub {
  readonly #parts: HttpParts
  readonly #maxUnread: number
  readonly #clients = new Set<Entry>()
  readonly #changedAlarms = new Set<string>()
  #edges = new Map<string, string>()
  #version = 0
  #edgesAt = Number.NEGATIVE_INFINITY
  #heartbeatAt = 0
  #cancel: Cancel = () => undefined
  #cancelAlarms: Cancel | undefined
  #running = false
  #stopListening: () => void = () => undefined
  #dropped = 0
  #refused = 0

  private constructor(parts: HttpParts, maxUnread: number) {
    this.#parts = parts
    this.#maxUnread = maxUnread
  }

  static start(parts: HttpParts, maxUnread = maxUnreadBytes): EventHub {
    const hub = new EventHub(parts, maxUnread)
    const stopAlarms = parts.alarms.onChange(ids => {
      if (hub.#clients.size === 0) return
      for (const id of ids) hub.#changedAlarms.add(id)
      hub.#cancelAlarms ??= parts.ticker.after(collectAlarmsMs, () => hub.#tellAlarms())
    })
    const stopReload = parts.configuration.onReload(results => hub.#broadcast('reload', { results }))
    hub.#stopListening = () => {
      stopAlarms()
      stopReload()
    }
    return hub
  }

  get stats(): { clients: number; dropped: number; refused: number } {
    return { clients: this.#clients.size, dropped: this.#dropped, refused: this.#refused }
  }

  /** @throws PenstockError `not-ready` when there are too many streams */
  admit(): void {
    if (this.#clients.size < maxClients) return
    this.#refused++
    throw new PenstockError('not-ready', { what: 'room for another event stream' })
  }

  add(response: ServerResponse, options: { resync: boolean; isAllowed: () => Promise<boolean> }): void {
    const { live, clock, ticker } = this.#parts
    const client = new EventClient(response, ticker, this.#maxUnread)
    const entry = { client, isAllowed: options.isAllowed }
    client.begin(() => this.#clients.delete(entry))
    if (this.#clients.size === 0) this.#begin()
    this.#clients.add(entry)
    // There is no replay: whoever comes back reads everything again.
    if (options.resync) client.send(eventText('resync', live.version, { reason: 'events since were not kept' }))
    client.send(eventText('hello', live.version, { snapshot: live.version, at: clock.now() }))
  }

  close(): void {
    this.#stopListening()
    this.#cancel()
    this.#cancelAlarms?.()
    for (const { client } of this.#clients) client.end('the gateway stops')
    this.#clients.clear()
  }

  #begin(): void {
    const { live, ticker } = this.#parts
    this.#version = live.version
    this.#changedAlarms.clear()
    this.#edges = new Map(this.#edgeTexts().map(([edge, text]) => [edge.edge, text]))
    this.#heartbeatAt = ticker.now()
    if (!this.#running) this.#schedule()
  }

  #schedule(): void {
    this.#running = true
    this.#cancel = this.#parts.ticker.after(collectMs, () => {
      this.#running = false
      if (this.#clients.size === 0) return
      this.#tick()
      this.#schedule()
    })
  }

  #tick(): void {
    const { live, clock, ticker, configuration } = this.#parts
    const now = clock.now()
    const { version, tags } = live.changesSince(this.#version, now)
    this.#version = version
    if (tags.length > 0) {
      const bodies = tags.map(tag => tagBody(tag, configuration.names, now))
      this.#broadcast('tags', { snapshot: version, at: now, tags: bodies })
    }
    if (ticker.now() - this.#edgesAt >= edgesEveryMs) this.#tellEdges(now)
    if (ticker.now() - this.#heartbeatAt >= heartbeatMs) this.#heartbeat()
  }

  #tellAlarms(): void {
    const { alarms, clock } = this.#parts
    this.#cancelAlarms = undefined
    if (this.#changedAlarms.size === 0) return
    const changed = [...this.#changedAlarms].flatMap(id => alarms.find(id) ?? [])
    this.#changedAlarms.clear()
    this.#broadcast('alarms', { at: clock.now(), alarms: changed })
  }

  #tellEdges(now: number): void {
    this.#edgesAt = this.#parts.ticker.now()
    const texts = this.#edgeTexts()
    const changed = texts.filter(([edge, text]) => this.#edges.get(edge.edge) !== text)
    this.#edges = new Map(texts.map(([edge, text]) => [edge.edge, text]))
    if (changed.length > 0) this.#broadcast('edges', { at: now, edges: changed.map(([edge]) => edge) })
  }

  /** What counts as a change of an edge: delay, skew and a few batches on their way move all the time and come with the heartbeat. */
  #edgeTexts(): [EdgeBody, string][] {
    return edgeBodies(this.#parts).map(edge => {
      const { alarm = 0, total = 0, raw = 0 } = edge.backlog ?? {}
      const behind = Math.floor(Math.log2(1 + (alarm + total + raw) / 32))
      return [edge, JSON.stringify({ ...edge, lagMs: null, skewMs: null, backlog: edge.backlog && behind })]
    })
  }

  #heartbeat(): void {
    this.#heartbeatAt = this.#parts.ticker.now()
    this.#broadcast('edges', { at: this.#parts.clock.now(), edges: edgeBodies(this.#parts) })
    for (const { client, isAllowed } of this.#clients) {
      client.send(': heartbeat\n\n')
      isAllowed()
        .then(allowed => {
          if (!allowed) client.end('the session has ended')
        })
        .catch(error => this.#parts.log.warn({ err: error }, 'a session could not be checked'))
    }
  }

  #broadcast(name: EventName, data: unknown): void {
    if (this.#clients.size === 0) return
    const text = eventText(name, this.#version, data)
    for (const entry of this.#clients) {
      if (entry.client.send(text)) continue
      this.#clients.delete(entry)
      this.#dropped++
    }
  }
}
