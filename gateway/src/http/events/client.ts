import type { ServerResponse } from 'node:http'
import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import type { EventName } from '../contract/events.ts'

/** What a client may leave unread before it is dropped. */
export const maxUnreadBytes = 8 * 1024 * 1024
const lastWordsMs = 5_000

export const eventText = (name: EventName, id: number, data: unknown): string =>
  `event: ${name}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`

/** One open event stream. It never waits for a slow reader: who lags behind is told to read everything again. */
export class EventClient {
  readonly #response: ServerResponse
  readonly #ticker: Ticker
  readonly #maxUnread: number
  #cancel: Cancel = () => undefined
  #ended = false

  constructor(response: ServerResponse, ticker: Ticker, maxUnread: number) {
    this.#response = response
    this.#ticker = ticker
    this.#maxUnread = maxUnread
  }

  begin(onClose: () => void): void {
    this.#response.on('close', () => {
      this.#ended = true
      this.#cancel()
      onClose()
    })
    this.#response.on('error', () => undefined)
    this.#response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
      // Proxies that collect answers would hold alarms back.
      'X-Accel-Buffering': 'no',
    })
    this.#response.flushHeaders()
  }

  get ended(): boolean {
    return this.#ended
  }

  /** False: the client was too slow and is being dropped. */
  send(text: string): boolean {
    if (this.#ended) return false
    if (this.#response.writableLength + text.length > this.#maxUnread) {
      this.end('too slow: events were left out')
      return false
    }
    this.#response.write(text)
    return true
  }

  /** Says why, and ends the stream; the socket goes at the latest in 5 s. */
  end(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#response.end(eventText('resync', 0, { reason }))
    this.#cancel = this.#ticker.after(lastWordsMs, () => this.#response.destroy())
  }
}
