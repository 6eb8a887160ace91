import { eventSchemas } from './contract/events.ts'
import { Problem } from './contract/problem.ts'
import { type RouteContract, routes } from './contract/routes.ts'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
interface JsonObject {
  [key: string]: Json
}

const isObject = (node: unknown): node is JsonObject =>
  typeof node === 'object' && node !== null && !Array.isArray(node)

/** Replaces each schema that has a name (`title`) by a reference, and keeps it under `components`. */
function referenced(schema: unknown, components: Map<string, Json>): Json {
  if (Array.isArray(schema)) return schema.map(part => referenced(part, components))
  if (!isObject(schema)) return schema as Json
  const { title } = schema
  if (typeof title !== 'string') return parts(schema, components)
  if (!components.has(title)) {
    components.set(title, null)
    components.set(title, parts(schema, components))
  }
  return { $ref: `#/components/schemas/${title}` }
}

const parts = (schema: JsonObject, components: Map<string, Json>): Json =>
  Object.fromEntries(Object.entries(schema).map(([key, part]) => [key, referenced(part, components)]))

function parameters(schema: unknown, place: 'path' | 'query', components: Map<string, Json>): Json[] {
  if (!isObject(schema) || !isObject(schema.properties)) return []
  const required = Array.isArray(schema.required) ? schema.required : []
  return Object.entries(schema.properties).map(([name, part]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: referenced(part, components),
  }))
}

function operation(name: string, route: RouteContract, components: Map<string, Json>): Json {
  const { params, querystring, body, response } = route.schema
  const answers = Object.entries(response).map(([code, schema]): [string, Json] => {
    const empty = code === '204' || code === '303'
    const shape: Json = route.produces ? { type: 'string' } : referenced(schema, components)
    const content = { [route.produces ?? 'application/json']: { schema: shape } }
    return [code, { description: route.summary, ...(empty ? {} : { content }) }]
  })
  const problem = { 'application/problem+json': { schema: referenced(Problem, components) } }
  return {
    operationId: name,
    summary: route.summary,
    'x-access': route.access,
    security: route.access === 'public' ? [] : [{ session: [] }, { token: [] }],
    parameters: [...parameters(params, 'path', components), ...parameters(querystring, 'query', components)],
    ...(body
      ? { requestBody: { required: true, content: { 'application/json': { schema: referenced(body, components) } } } }
      : {}),
    responses: Object.fromEntries([...answers, ['default', { description: 'What went wrong', content: problem }]]),
  }
}

/** OpenAPI 3.1 of all routes; `npm run generate` writes it to gateway/openapi.json, the console's client is made from that. */
export function openApiDocument(): Json {
  const components = new Map<string, Json>()
  const paths: Record<string, JsonObject> = {}
  for (const [name, route] of Object.entries<RouteContract>(routes)) {
    const path = route.url.replace(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(name, route, components) }
  }
  const events = Object.fromEntries(
    Object.entries(eventSchemas).map(([name, schema]) => [name, referenced(schema, components)]),
  )
  return {
    openapi: '3.1.0',
    info: { title: 'Penstock gateway', version: '1', license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: Object.fromEntries([...components].sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: {
        session: { type: 'apiKey', in: 'cookie', name: 'penstock' },
        token: { type: 'http', scheme: 'bearer' },
      },
    },
    'x-events': events,
  }
}
