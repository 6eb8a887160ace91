import type { InboxRecord } from './ingest/record.ts'

/**
 * Whoever turns the inbox into something else: historian, alarm engine, later accounts. One writer, consumers named in
 * gateway.ts, in order. The cursor moves in the transaction of the effect, so that a crash neither loses nor repeats one.
 */
export interface Consumer {
  readonly name: string
  /** next inbox position to apply; everything below has taken effect durably */
  readonly cursor: number
  /** one past the newest position that has left a durable effect, where that may lie beyond `cursor`; an inbox that was put back numbers on from here */
  readonly reach?: number
  /** Applies records in order and may hold effects back in memory; `cursor` tells what is durable. Called by one caller at a time. */
  apply(records: readonly InboxRecord[]): Promise<void>
  /** Makes everything applied durable (at stop, and when the inbox wants to drop segments). */
  flush(): Promise<void>
  close(): Promise<void>
}

/** How anything at the gateway gets into the inbox. */
export interface InboxWriter {
  /** Appends and returns the position at once; effects follow when consumers get to it. */
  append(entry: InboxRecord['entry']): number
  /** Resolves when everything appended before the call is on the disk. */
  commit(): Promise<void>
}
