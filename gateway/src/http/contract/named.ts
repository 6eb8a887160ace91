import { type TSchema, Type } from 'typebox'

/** Gives a schema the name under which it stands in the OpenAPI document (`components/schemas`) and in generated clients. */
export const named = <T extends TSchema>(title: string, schema: T): T => Object.assign(schema, { title })

export const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** Strict object: a field that the contract does not know is an error, never dropped without a word. */
export const strict = { additionalProperties: false } as const

export const Timestamp = Type.Integer({ description: 'ms since 1970 UTC' })
export const Text = named(
  'Text',
  Type.Object({ zh: Type.String(), en: Type.String() }, { description: 'A text in Chinese and English' }),
)
