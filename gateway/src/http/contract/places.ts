import { type Static, Type } from 'typebox'
import { CommandId } from './alarms.ts'
import { named, nullable, strict, Text, Timestamp } from './named.ts'
import { Id, ReasonName, Tag } from './tags.ts'

export const Edge = named(
  'Edge',
  Type.Object({
    edge: Type.String({ description: 'group/edge' }),
    group: Type.String(),
    id: Type.String(),
    groupName: nullable(Text),
    online: Type.Boolean(),
    registered: Type.Boolean({ description: 'false: nothing of it is confirmed, it keeps its data; adopt it' }),
    hardwareId: nullable(Type.String()),
    boundHardwareId: nullable(Type.String()),
    software: nullable(Type.String()),
    since: Timestamp,
    skewMs: nullable(Type.Number()),
    backlog: nullable(Type.Object({ alarm: Type.Integer(), total: Type.Integer(), raw: Type.Integer() })),
    lagMs: nullable(Type.Number()),
    lostBatches: Type.Integer(),
    problem: nullable(Type.String({ description: 'unknown-edge, duplicate-identity, not-obeyed, storage-full, ...' })),
    devices: Type.Array(Type.Object({ device: Type.String(), site: nullable(Type.String()), online: Type.Boolean() })),
  }),
)
export type EdgeBody = Static<typeof Edge>

export const EdgeList = named('EdgeList', Type.Object({ at: Timestamp, edges: Type.Array(Edge) }))
export const EdgeParams = Type.Object({ group: Id, edge: Id }, strict)
export const AdoptBody = Type.Object(
  {
    commandId: CommandId,
    hardwareId: nullable(
      Type.String({
        maxLength: 128,
        description: 'the hardware id that was shown; another box under that name is refused',
      }),
    ),
  },
  strict,
)

const QualityCounts = named(
  'QualityCounts',
  Type.Object({ good: Type.Integer(), uncertain: Type.Integer(), bad: Type.Integer() }),
)

export const Site = named(
  'Site',
  Type.Object({
    id: Type.String(),
    name: nullable(Text),
    kind: nullable(Type.String({ description: 'water or chemical; null for a site that no registry names' })),
    group: nullable(Type.String()),
    groupName: nullable(Text),
    tags: QualityCounts,
    openAlarms: Type.Integer(),
    devices: Type.Array(
      Type.Object({
        id: Type.String(),
        name: nullable(Text),
        area: nullable(Type.String()),
        edge: nullable(Type.String()),
        online: nullable(Type.Boolean({ description: 'null: never seen' })),
        tags: QualityCounts,
        inhibitedUntil: nullable(Timestamp),
      }),
    ),
  }),
)
export type SiteBody = Static<typeof Site>
export const SiteList = named('SiteList', Type.Object({ at: Timestamp, sites: Type.Array(Site) }))

const Exchange = { at: Timestamp, hex: Type.String() }
export const Diagnosis = named(
  'Diagnosis',
  Type.Object({
    address: Type.String(),
    state: Type.Enum(['starting', 'ok', 'failing', 'open']),
    since: Timestamp,
    lastRequest: nullable(Type.Object({ ...Exchange, what: Type.String() })),
    lastAnswer: nullable(Type.Object(Exchange)),
    lastError: nullable(Type.Object({ at: Timestamp, reason: ReasonName, text: Type.String() })),
    nextTryAt: nullable(Timestamp),
    counters: Type.Record(Type.String(), Type.Number()),
  }),
)

export const DeviceParams = Type.Object({ site: Id, device: Id }, strict)
export const Device = named(
  'Device',
  Type.Object({
    at: Timestamp,
    site: Type.String(),
    device: Type.String(),
    siteName: nullable(Text),
    name: nullable(Text),
    area: nullable(Type.String()),
    online: nullable(Type.Boolean()),
    edge: nullable(Edge),
    tags: Type.Array(Tag),
    diagnosis: nullable(Diagnosis),
    inhibit: nullable(Type.Object({ until: Timestamp, reason: Type.String(), by: Type.String() })),
  }),
)
