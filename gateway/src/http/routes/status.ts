import { type Api, route } from '../api.ts'
import { routes } from '../contract/routes.ts'
import { openApiDocument } from '../open-api.ts'
import type { HttpParts } from '../parts.ts'

export function statusRoutes(app: Api, parts: HttpParts): void {
  app.route({ ...route(routes.live), handler: async () => ({ status: 'ok' as const }) })

  app.route({
    ...route(routes.ready),
    handler: async (_, reply) => {
      const checks = Object.entries(parts.readiness()).map(([name, detail]) => ({ name, ok: detail === null, detail }))
      const ready = checks.every(check => check.ok)
      return reply.code(ready ? 200 : 503).send({ ready, checks })
    },
  })

  app.route({
    ...route(routes.metrics),
    handler: async (_, reply) => {
      reply.type('text/plain; version=0.0.4; charset=utf-8')
      return parts.metrics()
    },
  })

  app.route({
    ...route(routes.status),
    handler: async () => ({
      ...parts.status(),
      now: parts.clock.now(),
      config: parts.configuration.status.map(slot => ({ ...slot, files: [...slot.files] })),
    }),
  })

  const document = openApiDocument()
  app.route({ ...route(routes.openApi), handler: async () => document })
}
