import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Static, type TSchema, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { Settings } from 'typebox/system'
import { Value } from 'typebox/value'
import { type Document, isMap, isScalar, LineCounter, type Node, type Pair, parse, parseDocument, visit } from 'yaml'
import { PenstockError } from './errors.ts'
import { nearest } from './nearest.ts'

type Path = readonly (string | number)[]

/** A number of bytes: an integer, or a text such as `512MiB`. */
export const Bytes = (options: { default: number; description: string }) =>
  Type.Integer({ minimum: 0, bytes: true, ...options })

const byteUnits: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 }

/**
 * One configuration file with the places of its values. Collects what is wrong, and `check` throws everything at once
 * as PenstockError `config-invalid`, one line a problem: `file:line:column: what is wrong, what to write instead`.
 */
export class ConfigSource {
  readonly path: string
  readonly #document: Document.Parsed
  readonly #lines: LineCounter
  readonly #problems: { offset: number; text: string }[] = []

  constructor(path: string, document: Document.Parsed, lines: LineCounter) {
    this.path = path
    this.#document = document
    this.#lines = lines
  }

  /** Notes a problem at the value of `path` (`key`: at the key itself, for keys that should not be there). */
  fail(path: Path, message: string, at: 'value' | 'key' = 'value'): void {
    this.failAt(this.#offset(path, at), message)
  }

  failAt(offset: number, message: string): void {
    this.#problems.push({ offset, text: message })
  }

  get failed(): boolean {
    return this.#problems.length > 0
  }

  /** `file:line:column` of a value, for messages that come later. */
  place(path: Path): string {
    return this.#place(this.#offset(path, 'value'))
  }

  /** @throws PenstockError `config-invalid` with all problems, in the order of the file */
  check(): void {
    if (this.#problems.length === 0) return
    const text = [...this.#problems]
      .sort((a, b) => a.offset - b.offset)
      .map(problem => `${this.#place(problem.offset)}: ${problem.text}`)
      .join('\n')
    throw new PenstockError('config-invalid', { text, path: this.path })
  }

  /** A path written in the file, relative to the file. */
  resolve(path: string): string {
    return resolve(dirname(this.path), path)
  }

  #place(offset: number): string {
    const { line, col } = this.#lines.linePos(offset)
    return `${this.path}:${line}:${col}`
  }

  /** Where the value is; where it is missing, the nearest thing around it. */
  #offset(path: Path, at: 'value' | 'key'): number {
    for (let length = path.length; length > 0; length--) {
      const parent = this.#document.getIn(path.slice(0, length - 1), true) ?? this.#document.contents
      const key = path[length - 1]
      if (isMap(parent)) {
        const pair = parent.items.find((item: Pair) => String(isScalar(item.key) ? item.key.value : item.key) === key)
        const node = pair && (at === 'key' && length === path.length ? pair.key : (pair.value ?? pair.key))
        const start = (node as Node | null | undefined)?.range?.[0]
        if (start !== undefined) return start
      } else {
        const node = this.#document.getIn(path.slice(0, length), true) as Node | undefined
        if (node?.range) return node.range[0]
      }
    }
    return this.#document.contents?.range?.[0] ?? 0
  }
}

export interface LoadOptions<T> {
  /** for `${NAME}` and `${NAME:-default}`; default: the process's environment */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** What a schema cannot say: calls `source.fail`. Runs also on a file that does not fit the schema, so that all problems come at once. */
  readonly check?: (value: T, source: ConfigSource) => void
}

/**
 * Reads a YAML file, fills in the environment and the defaults of the schema and checks it; unknown keys are errors.
 * @throws PenstockError `config-missing`, or `config-invalid` with every problem of the file
 */
export function loadConfig<T extends TSchema>(
  path: string,
  schema: T,
  options: LoadOptions<Static<T>> = {},
): { value: Static<T>; source: ConfigSource } {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new PenstockError('config-missing', { path, cause: (error as NodeJS.ErrnoException).code ?? 'unreadable' })
  }
  return parseConfig(path, text, schema, options)
}

/** As `loadConfig`, from text; `path` is only named in messages. */
export function parseConfig<T extends TSchema>(
  path: string,
  text: string,
  schema: T,
  options: LoadOptions<Static<T>> = {},
): { value: Static<T>; source: ConfigSource } {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  const source = new ConfigSource(path, document, lines)
  for (const error of document.errors) source.failAt(error.pos[0], explainYaml(error.code, error.message))
  source.check()
  fillEnvironment(document, source, options.environment ?? process.env)
  source.check()
  const value = Value.Default(schema, convertBytes(schema, document.toJS() ?? {}))
  report(schema, value, source)
  const fits = !source.failed
  try {
    options.check?.(value as Static<T>, source)
  } catch (error) {
    // On a file of the wrong shape the check may stumble; the shape has been reported.
    if (fits) throw error
  }
  source.check()
  return { value: value as Static<T>, source }
}

function explainYaml(code: string, message: string): string {
  if (code === 'DUPLICATE_KEY') return 'this key stands twice in the same block; keep one of them'
  if (code === 'TAB_AS_INDENT') return 'a tab is used for indentation; use spaces'
  return `not valid YAML (${message}); check indentation, colons and quotes on this line`
}

function fillEnvironment(
  document: Document.Parsed,
  source: ConfigSource,
  environment: LoadOptions<never>['environment'],
): void {
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value !== 'string' || !node.value.includes('${')) return
      const filled = node.value.replace(
        /\$\{(\w+)(?::-([^}]*))?\}/g,
        (_, name: string, fallback: string | undefined) => {
          const found = environment?.[name] ?? fallback
          if (found === undefined) {
            source.failAt(
              node.range?.[0] ?? 0,
              `the environment variable ${name} is not set; set it or write \${${name}:-default}`,
            )
          }
          return found ?? ''
        },
      )
      node.value = node.type === 'PLAIN' ? parse(filled) : filled
    },
  })
}

interface AnySchema {
  readonly properties?: Readonly<Record<string, AnySchema>>
  readonly patternProperties?: Readonly<Record<string, AnySchema>>
  readonly items?: AnySchema
  readonly anyOf?: readonly AnySchema[]
  readonly const?: unknown
  readonly bytes?: boolean
  readonly description?: string
  readonly type?: string
}

function convertBytes(schema: AnySchema, value: unknown): unknown {
  if (schema.bytes && typeof value === 'string') {
    const match = /^(\d+)(KiB|MiB|GiB|TiB)$/.exec(value)
    return match ? Number(match[1]) * (byteUnits[match[2] ?? ''] ?? 1) : value
  }
  if (Array.isArray(value))
    return schema.items ? value.map(item => convertBytes(schema.items as AnySchema, item)) : value
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      const inner = schema.properties?.[key]
      return [key, inner ? convertBytes(inner, item) : item]
    }),
  )
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

function report(schema: TSchema, value: unknown, source: ConfigSource): void {
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
