import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorTable } from '@penstock/core/runtime/errors.ts'
import { eventSchemas } from '@penstock/gateway/http/contract/events.ts'
import { type RouteContract, routes } from '@penstock/gateway/http/contract/routes.ts'
import { openApiDocument } from '@penstock/gateway/http/open-api.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { roles, TestServer, tokenOf } from './support.ts'

const committed = join(import.meta.dirname, '../../../gateway/openapi.json')

describe('OpenAPI document', () => {
  it('is the committed one (npm run generate)', () => {
    expect(JSON.parse(readFileSync(committed, 'utf8'))).toEqual(openApiDocument())
  })

  it('describes every route, every answer and every event, and all references resolve', () => {
    const document = openApiDocument() as {
      paths: Record<string, Record<string, { operationId: string }>>
      components: { schemas: object }
      'x-events': object
    }
    const operations = Object.values(document.paths).flatMap(path => Object.values(path).map(one => one.operationId))
    expect(operations.sort()).toEqual(Object.keys(routes).sort())
    expect(Object.keys(document['x-events'])).toEqual(Object.keys(eventSchemas))
    const references = JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g)
    for (const [, name] of references) expect(Object.keys(document.components.schemas)).toContain(name)
  })
})

/** Who may do what: a pin. A change here is a change of who can act at a plant. */
const access: Record<keyof typeof routes, RouteContract['access']> = {
  live: 'public',
  ready: 'public',
  openSignIn: 'public',
  signIn: 'public',
  openApi: 'public',
  metrics: 'metrics',
  signOut: 'viewer',
  me: 'viewer',
  status: 'viewer',
  sites: 'viewer',
  tags: 'viewer',
  tag: 'viewer',
  device: 'viewer',
  readings: 'viewer',
  readingsCsv: 'viewer',
  trend: 'viewer',
  alarms: 'viewer',
  alarm: 'viewer',
  journal: 'viewer',
  edges: 'viewer',
  events: 'viewer',
  acknowledge: 'operator',
  reset: 'operator',
  inhibit: 'operator',
  endInhibit: 'operator',
  adopt: 'engineer',
  reload: 'engineer',
}

describe('roles', () => {
  let server: TestServer
  beforeEach(async () => {
    server = await TestServer.open()
  })
  afterEach(() => server.close())

  it('of every route are as agreed', () => {
    expect(Object.fromEntries(Object.entries(routes).map(([name, route]) => [name, route.access]))).toEqual(access)
  })

  it('are enforced on every route of the server', async () => {
    for (const [name, route] of Object.entries<RouteContract>(routes)) {
      if (route.access === 'public' || route.access === 'metrics' || name === 'events') continue
      const path = route.url.replace(/:\w+/g, 'x')
      const ask = (token: string | null) =>
        route.method === 'GET' ? server.get(path, token) : server.post(path, {}, token)
      expect((await ask(null)).status, name).toBe(401)
      expect((await ask('a-token-that-nobody-knows')).status, name).toBe(401)
      for (const role of roles) {
        const { status } = await ask(tokenOf(role))
        const may = roles.indexOf(role) >= roles.indexOf(route.access)
        if (may) expect([401, 403], `${name} ${role}`).not.toContain(status)
        else expect(status, `${name} ${role}`).toBe(403)
      }
    }
  })

  it('are needed by every address that the server answers, apart from the public ones', () => {
    const known = new Set(Object.values(routes).map(route => route.url as string))
    const listed = server.server.app.printRoutes({ commonPrefix: false })
    const addresses = [...listed.matchAll(/(\/[^\s]*) \((GET|POST|HEAD)/g)].map(([, url]) => url ?? '')
    expect(addresses.length).toBeGreaterThan(0)
    for (const url of known)
      expect(
        server.server.app.hasRoute({
          method: Object.values(routes).find(one => one.url === url)?.method ?? 'GET',
          url,
        }),
      ).toBe(true)
  })
})

describe('errors', () => {
  it('have an HTTP status that is an error', () => {
    for (const [code, { http }] of Object.entries(errorTable)) expect(http, code).toBeGreaterThanOrEqual(400)
  })
})
