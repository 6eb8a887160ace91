import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Settings } from 'typebox/system'
import type { ConfigSource } from './config-file.ts'
import { nearest } from './nearest.ts'

/** What of a JSON Schema is looked at to explain a mistake. */
export interface AnySchema {
  readonly properties?: Readonly<Record<string, AnySchema>>
  readonly patternProperties?: Readonly<Record<string, AnySchema>>
  readonly items?: AnySchema
  readonly anyOf?: readonly AnySchema[]
  readonly const?: unknown
  readonly bytes?: boolean
  readonly description?: string
  readonly type?: string
}

interface SchemaError {
  readonly keyword: string
  readonly schemaPath: string
  readonly instancePath: string
  readonly params: object
  readonly message: string
}

const split = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))

// The library stops after 8 errors unless told otherwise; a file is to be mended in one go.
Settings.Set({ maxErrors: 1000 })

/** Tells `source` every place where `value` does not fit the schema, with what to write instead. */
export function reportProblems(schema: TSchema, value: unknown, source: ConfigSource): void {
  const errors = Compile(schema).Errors(value) as SchemaError[]
  // What lies below a failed choice is told once, by the choice.
  const choices = new Set(errors.filter(error => error.keyword === 'anyOf').map(error => error.instancePath))
  const told = new Set<string>()
  for (const error of errors) {
    const path = split(error.instancePath)
    const inChoice = error.keyword !== 'anyOf' && [...choices].some(choice => isWithin(error, choice))
    if (inChoice || (error.keyword === 'boolean' && error.schemaPath.endsWith('additionalProperties'))) continue
    for (const [at, message, kind] of explain(error, path, schema as AnySchema, value)) {
      const key = `${at.join('/')} ${message}`
      if (told.has(key)) continue
      told.add(key)
      source.fail(at, message, kind)
    }
  }
}

const isWithin = (error: SchemaError, choice: string): boolean =>
  error.schemaPath.includes('/anyOf/') && (error.instancePath === choice || error.instancePath.startsWith(`${choice}/`))

type Problem = readonly [path: string[], message: string, at?: 'value' | 'key']

function explain(error: SchemaError, path: string[], schema: AnySchema, value: unknown): Problem[] {
  const here = at(schema, path)
  const found = valueAt(value, path)
  const name = path.at(-1) ?? 'the file'
  const hint = here?.description ? ` (${here.description})` : ''
  switch (error.keyword) {
    case 'additionalProperties': {
      const known = Object.keys(here?.properties ?? {})
      const unknown = Object.keys((found as object | null) ?? {}).filter(key => !known.includes(key))
      return unknown.map(key => {
        const guess = nearest(key, known)
        const help = guess ? `did you mean "${guess}"?` : `known here: ${known.join(', ')}`
        return [[...path, key], `unknown key "${key}"; ${help}`, 'key'] as const
      })
    }
    case 'required': {
      const missing = (error.params as { requiredProperties: string[] }).requiredProperties
      return missing.map(key => {
        const what = here?.properties?.[key]?.description
        return [path, `"${key}" is missing${what ? ` (${what})` : ''}; add it`] as const
      })
    }
    case 'anyOf': {
      const options = (here?.anyOf ?? []).flatMap(option => (option.const === undefined ? [] : [String(option.const)]))
      if (options.length > 0 && options.length === here?.anyOf?.length) {
        const guess = nearest(String(found), options)
        const help = guess ? `did you mean "${guess}"? ` : ''
        return [[path, `"${show(found)}" is not allowed for "${name}"; ${help}write one of: ${options.join(', ')}`]]
      }
      const kinds = (here?.anyOf ?? []).map(option => option.description ?? option.type ?? String(option.const))
      return [[path, `"${show(found)}" does not fit "${name}"${hint}; write one of: ${kinds.join(' | ')}`]]
    }
    case 'const': {
      const wanted = String((error.params as { allowedValue: unknown }).allowedValue)
      return [[path, `"${show(found)}" is not allowed for "${name}"; write ${wanted}`]]
    }
    case 'type':
      return [[path, `"${name}" is ${kindOf(found)}${hint}; write ${article(here?.type)}`]]
    default:
      return [[path, `"${show(found)}" is not allowed for "${name}"${hint}: it ${error.message}`]]
  }
}

function at(schema: AnySchema | undefined, path: readonly string[]): AnySchema | undefined {
  return path.reduce<AnySchema | undefined>((inner, key) => {
    if (inner?.anyOf) inner = inner.anyOf.find(option => option.properties ?? option.items)
    if (inner?.items && /^\d+$/.test(key)) return inner.items
    return inner?.properties?.[key] ?? Object.values(inner?.patternProperties ?? {})[0]
  }, schema)
}

const valueAt = (value: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value)

const show = (value: unknown): string => (typeof value === 'object' ? JSON.stringify(value) : String(value))

const kindOf = (value: unknown): string =>
  value === null
    ? 'empty'
    : Array.isArray(value)
      ? 'a list'
      : typeof value === 'object'
        ? 'a block'
        : `"${String(value)}"`

const article = (type: string | undefined): string =>
  ({
    integer: 'a whole number',
    number: 'a number',
    string: 'a text',
    boolean: 'true or false',
    array: 'a list',
    object: 'a block of keys',
  })[type ?? ''] ?? 'another value'
