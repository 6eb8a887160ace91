import { type Api, actorOf, route } from '../api.ts'
import type { AccessRules } from '../auth/access.ts'
import { routes } from '../contract/routes.ts'
import type { EventHub } from '../events/hub.ts'

export function eventRoutes(app: Api, hub: EventHub, access: AccessRules): void {
  app.route({
    ...route(routes.events),
    handler: async (request, reply) => {
      const { id } = actorOf(request)
      const lastEventId = request.headers['last-event-id']
      // Sessions end and users are removed while a stream is open.
      const isAllowed = async () => (await access.identify(request))?.id === id
      hub.admit()
      reply.hijack()
      // Headers that hooks have set so far (helmet) belong to this answer as well.
      for (const [name, value] of Object.entries(reply.getHeaders()))
        if (value !== undefined) reply.raw.setHeader(name, value)
      hub.add(reply.raw, { resync: lastEventId !== undefined, isAllowed })
    },
  })
}
