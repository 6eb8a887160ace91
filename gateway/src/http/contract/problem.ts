import { type Static, Type } from 'typebox'
import { named } from './named.ts'

/** RFC 9457. `code` is a row of the table of errors (docs/errors.md). */
export const Problem = named(
  'Problem',
  Type.Object({
    type: Type.String({ description: 'urn:penstock:{code}' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String(),
    details: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()])),
    retryable: Type.Boolean(),
  }),
)
export type ProblemBody = Static<typeof Problem>
