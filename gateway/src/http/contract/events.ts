import { Type } from 'typebox'
import { Alarm } from './alarms.ts'
import { named, Timestamp } from './named.ts'
import { Edge } from './places.ts'
import { Reload } from './status.ts'
import { Tag } from './tags.ts'

/**
 * What `/api/v1/events` sends, by the name of the event; `data` is the JSON of the schema. `id` of each event is the version of
 * the live table. Comments (`: heartbeat`) every 10 s. There is no replay: after a gap comes `resync`, then the stream ends or
 * starts anew with `hello`; the client reads everything again.
 */
export const eventSchemas = {
  hello: named('EventHello', Type.Object({ snapshot: Type.Integer(), at: Timestamp })),
  tags: named(
    'EventTags',
    Type.Object({
      snapshot: Type.Integer(),
      at: Timestamp,
      tags: Type.Array(Tag, { description: 'only the changed ones' }),
    }),
  ),
  alarms: named(
    'EventAlarms',
    Type.Object({
      at: Timestamp,
      alarms: Type.Array(Alarm, { description: 'the changed ones, also those no longer open' }),
    }),
  ),
  edges: named('EventEdges', Type.Object({ at: Timestamp, edges: Type.Array(Edge) })),
  reload: Reload,
  resync: named('EventResync', Type.Object({ reason: Type.String() })),
} as const

export type EventName = keyof typeof eventSchemas
