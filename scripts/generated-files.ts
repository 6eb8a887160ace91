import { RuleFileSchema } from '@penstock/core/alarms/rule-file.ts'
import { ProfileSchema } from '@penstock/core/profile/schema.ts'
import { errorTable } from '@penstock/core/runtime/errors.ts'
import { SiteFileSchema } from '@penstock/edge/config/site-file.ts'
import { GatewayFileSchema } from '@penstock/gateway/config/gateway-file.ts'
import { RegistryFileSchema } from '@penstock/gateway/config/registry-file.ts'
import { UsersFileSchema } from '@penstock/gateway/config/users-file.ts'
import { openApiDocument } from '@penstock/gateway/http/open-api.ts'
import { ScenarioSchema } from '@penstock/simulator/scenario-file.ts'
import type { TSchema } from 'typebox'
import { sparkplugPage } from './sparkplug-page.ts'

const schemas: Readonly<Record<string, TSchema>> = {
  site: SiteFileSchema,
  profile: ProfileSchema,
  gateway: GatewayFileSchema,
  registry: RegistryFileSchema,
  users: UsersFileSchema,
  rules: RuleFileSchema,
  scenario: ScenarioSchema,
}

/** path from the repository's root → content */
export async function generatedFiles(): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  for (const [name, schema] of Object.entries(schemas)) {
    files.set(`schemas/${name}.json`, `${JSON.stringify(jsonSchema(name, schema), null, 2)}\n`)
  }
  files.set('docs/errors.md', errorsPage())
  files.set('docs/configuration.md', configurationPage())
  files.set('docs/sparkplug.md', sparkplugPage())
  files.set('gateway/openapi.json', `${JSON.stringify(await openApiDocument(), null, 2)}\n`)
  return files
}

function jsonSchema(name: string, schema: TSchema): object {
  const plain = JSON.parse(JSON.stringify(schema), (_, value) => {
    if (value?.bytes !== true) return value
    const { bytes: _bytes, type: _type, minimum: _minimum, ...rest } = value
    return {
      ...rest,
      anyOf: [
        { type: 'integer', minimum: 0 },
        { type: 'string', pattern: '^\\d+(KiB|MiB|GiB|TiB)$' },
      ],
    }
  })
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', $id: `penstock/${name}.json`, ...plain }
}

function errorsPage(): string {
  const rows = Object.entries(errorTable).map(
    ([code, { message, retryable, http }]) =>
      `| \`${code}\` | ${message.replaceAll('|', '\\|')} | ${retryable ? 'yes' : 'no'} | ${http} |`,
  )
  return [
    '# Errors',
    '',
    'Every error of Penstock has one of these codes; over HTTP it comes as `application/problem+json` with `type` `urn:penstock:<code>`.',
    'A failed read of an instrument is not an error: it is a reading of quality `bad` with a reason.',
    'This page is made from `core/src/runtime/errors.ts` by `npm run generate`.',
    '',
    '| Code | Message | Retry | HTTP |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

interface Described {
  readonly title?: string
  readonly type?: string
  readonly properties?: Readonly<Record<string, Described>>
  readonly items?: Described
  readonly anyOf?: readonly Described[]
  readonly const?: unknown
  readonly required?: readonly string[]
  readonly default?: unknown
  readonly description?: string
  readonly bytes?: boolean
  readonly patternProperties?: Readonly<Record<string, Described>>
}

function configurationPage(): string {
  const parts = Object.entries(schemas).map(([name, schema]) => {
    const described = JSON.parse(JSON.stringify(schema)) as Described
    const rows = describeKeys(described, '')
    return [
      `## ${described.title ?? name}`,
      '',
      `JSON Schema for editors: \`schemas/${name}.json\`.`,
      '',
      '| Key | Kind | Default | Meaning |',
      '|---|---|---|---|',
      ...rows,
      '',
    ].join('\n')
  })
  return [
    '# Configuration files',
    '',
    'YAML. Unknown keys are errors; all problems of a file are told at once with line and column; `${NAME}` and `${NAME:-default}` are filled',
    'from the environment. Sizes are bytes or texts such as `512MiB`, durations are milliseconds. Check a file without starting anything:',
    '`npm run edge -- --config site.yaml --check`, `npm run gateway -- --config gateway.yaml --check`.',
    'This page is made from the schemas by `npm run generate`.',
    '',
    ...parts,
  ].join('\n')
}

function describeKeys(schema: Described, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => {
    const path = `${prefix}${key}`
    const rest = [inner, ...(inner.anyOf ?? []), ...Object.values(inner.patternProperties ?? {})]
    const below = rest.flatMap(part => [
      ...describeKeys(part, `${path}.`),
      ...(part.items ? describeKeys(part.items, `${path}[].`) : []),
    ])
    const required = schema.required?.includes(key) ? '' : 'optional'
    const standard =
      inner.default === undefined || typeof inner.default === 'object' ? required : `\`${String(inner.default)}\``
    const meaning = (inner.description ?? '').replaceAll('|', '\\|')
    return [`| \`${path}\` | ${kindOf(inner)} | ${standard} | ${meaning} |`, ...below]
  })
}

function kindOf(schema: Described): string {
  if (schema.bytes) return 'bytes'
  if (schema.const !== undefined) return `\`${String(schema.const)}\``
  if (schema.anyOf) return [...new Set(schema.anyOf.map(kindOf))].join(', ')
  if (schema.type === 'array') return `list of ${schema.items ? kindOf(schema.items) : 'values'}`
  return schema.type ?? 'value'
}
