import { priorities, stateNames } from '@penstock/core/alarms/state.ts'
import { type Static, Type } from 'typebox'
import { named, nullable, strict, Text, Timestamp } from './named.ts'
import { Id, JsonValue } from './tags.ts'

export const Alarm = named(
  'Alarm',
  Type.Object({
    id: Type.String({ description: 'rule and source; percent-encode it in paths' }),
    rule: Type.String(),
    source: Type.String({ description: 'tag, device or edge that the alarm is about' }),
    site: nullable(Type.String()),
    device: nullable(Type.String()),
    priority: named('Priority', Type.Enum([...priorities])),
    state: named('AlarmState', Type.Enum([...stateNames])),
    health: Type.Enum(['init', 'ok', 'uncertain', 'bad', 'stale', 'inhibited'], {
      description: 'quality of the inputs: when it is not ok the alarm may be blind',
    }),
    active: Type.Boolean(),
    acknowledged: Type.Boolean(),
    inhibitedUntil: nullable(Timestamp),
    occ: Type.Integer({ description: 'number of the occurrence' }),
    ann: Type.Integer({ description: 'number of the announcement within the occurrence' }),
    level: nullable(Type.String()),
    value: nullable(JsonValue),
    limit: nullable(Type.Number()),
    unit: nullable(Type.String()),
    raisedAt: nullable(Timestamp),
    returnedAt: nullable(Timestamp),
    acknowledgedAt: nullable(Timestamp),
    acknowledgedBy: nullable(Type.String()),
    text: Text,
    response: nullable(Text),
  }),
)
export type AlarmBody = Static<typeof Alarm>

export const JournalRecord = named(
  'JournalRecord',
  Type.Object({
    seq: Type.Integer({ description: 'gapless' }),
    kind: Type.String({ description: 'RAISE, RTN, ACK, ...' }),
    at: Timestamp,
    alarm: nullable(Type.String({ description: 'null: about a device, the rules or the gateway' })),
    rule: nullable(Type.String()),
    source: nullable(Type.String({ description: 'tag, device (site/device) or edge that it is about' })),
    before: nullable(Type.String({ description: 'state of the alarm before' })),
    after: nullable(Type.String({ description: 'state of the alarm from then on' })),
    reason: nullable(
      Type.String({ description: 'of the reading, of the inhibit, or why a command was refused (a code)' }),
    ),
    occ: nullable(Type.Integer()),
    ann: nullable(Type.Integer()),
    level: nullable(Type.String()),
    priority: nullable(Type.String()),
    value: nullable(JsonValue),
    limit: nullable(Type.Number()),
    unit: nullable(Type.String()),
    historic: Type.Boolean({ description: 'found in a backlog: it was over before the gateway could know' }),
    actor: nullable(Type.String()),
    comment: nullable(Type.String()),
    text: nullable(Text),
  }),
)
export type JournalBody = Static<typeof JournalRecord>

export const AlarmQuery = Type.Object(
  {
    state: Type.Optional(Type.Enum(['open', 'active', 'unacknowledged', 'all'], { default: 'open' })),
    site: Type.Optional(Id),
    device: Type.Optional(Id),
    limit: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 1_000, default: 0, description: 'newest records of the journal to add' }),
    ),
  },
  strict,
)

export const AlarmList = named(
  'AlarmList',
  Type.Object({ at: Timestamp, alarms: Type.Array(Alarm), history: Type.Array(JournalRecord) }),
)

export const AlarmParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 400 }) }, strict)
export const CommandId = Type.String({
  minLength: 8,
  maxLength: 64,
  pattern: '^[A-Za-z0-9_-]+$',
  description: 'chosen by the client, e.g. a UUID; the same id has the same answer',
})

export const AcknowledgeBody = Type.Object(
  {
    occ: Type.Integer({ minimum: 0 }),
    ann: Type.Integer({ minimum: 0 }),
    commandId: CommandId,
    comment: Type.Optional(Type.String({ maxLength: 1_000 })),
  },
  strict,
)
export const ResetBody = Type.Object({ occ: Type.Integer({ minimum: 0 }), commandId: CommandId }, strict)

export const CommandResult = named(
  'CommandResult',
  Type.Object({ status: Type.Literal('done'), commandId: Type.String(), actor: Type.String(), alarm: nullable(Alarm) }),
)

export const InhibitBody = Type.Object(
  {
    until: Type.Integer({
      description:
        'ms UTC, not further from the beginning of the inhibit than `inhibit.max` of the rules; it ends by itself',
    }),
    reason: Type.String({ minLength: 3, maxLength: 500 }),
    commandId: CommandId,
  },
  strict,
)
export const EndInhibitBody = Type.Object({ commandId: CommandId }, strict)

export const JournalQuery = Type.Object(
  {
    alarm: Type.Optional(Type.String({ maxLength: 400 })),
    from: Type.Optional(Type.Integer({ description: 'ms UTC, inclusive' })),
    to: Type.Optional(Type.Integer({ description: 'ms UTC, exclusive' })),
    before: Type.Optional(Type.Integer({ minimum: 0, description: 'records with a smaller seq' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: 200 })),
  },
  strict,
)
export const JournalList = named(
  'JournalList',
  Type.Object({
    records: Type.Array(JournalRecord, { description: 'newest first' }),
    next: nullable(Type.Integer({ description: 'give it as `before` to go on' })),
  }),
)
