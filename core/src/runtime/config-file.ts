import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { type Document, isMap, isScalar, LineCounter, type Node, type Pair, parse, parseDocument, visit } from 'yaml'
import { type AnySchema, reportProblems } from './config-problems.ts'
import { PenstockError } from './errors.ts'

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
  reportProblems(schema, value, source)
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
