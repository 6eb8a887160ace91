import { type Static, Type } from 'typebox'
import { named, nullable, Timestamp } from './named.ts'

export const Live = named('Live', Type.Object({ status: Type.Literal('ok') }))
export const Ready = named(
  'Ready',
  Type.Object({
    ready: Type.Boolean(),
    checks: Type.Array(Type.Object({ name: Type.String(), ok: Type.Boolean(), detail: nullable(Type.String()) })),
  }),
)

export const ConfigFile = named(
  'ConfigFile',
  Type.Object({
    what: Type.Enum(['registry', 'rules', 'users']),
    files: Type.Array(Type.String()),
    hash: Type.String({ description: 'of the content that is in effect' }),
    since: Timestamp,
    problem: nullable(
      Type.String({ description: 'why the newest file was refused; the older content stays in effect' }),
    ),
  }),
)
export type ConfigFileBody = Static<typeof ConfigFile>

export const Reload = named(
  'Reload',
  Type.Object({
    results: Type.Array(
      Type.Object({
        what: Type.Enum(['registry', 'rules', 'users']),
        status: Type.Enum(['unchanged', 'applied', 'refused']),
        hash: Type.String(),
        problem: nullable(Type.String()),
      }),
    ),
  }),
)

export const Status = named(
  'Status',
  Type.Object({
    version: Type.String(),
    hostId: Type.String(),
    ledger: nullable(Type.String({ description: 'the identity that the edges pin' })),
    startedAt: Timestamp,
    now: Timestamp,
    timeFactor: Type.Number({ description: '1, or the factor of the scaled clock of a demonstration' }),
    broker: Type.Object({ connected: Type.Boolean(), detail: nullable(Type.String()) }),
    storage: Type.Object({
      state: Type.Enum(['ok', 'low', 'full']),
      historianBytes: Type.Integer(),
      maxBytes: Type.Integer(),
    }),
    inbox: Type.Object({ first: Type.Integer(), end: Type.Integer(), bytes: Type.Integer() }),
    consumers: Type.Array(Type.Object({ name: Type.String(), cursor: Type.Integer() })),
    config: Type.Array(ConfigFile),
    problems: Type.Array(Type.String()),
  }),
)
export type StatusBody = Static<typeof Status>
