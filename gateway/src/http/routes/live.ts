import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { parseTag, tagOf } from '@penstock/core/tag.ts'
import { type Api, route } from '../api.ts'
import { routes } from '../contract/routes.ts'
import type { TagBody } from '../contract/tags.ts'
import type { HttpParts } from '../parts.ts'
import { deviceState, edgeBodies, edgeBody, siteBodies } from '../views/places.ts'
import { tagBody } from '../views/tags.ts'

export function liveRoutes(app: Api, parts: HttpParts): void {
  const { clock, live, configuration } = parts

  const tagsOf = (site: string | undefined, device: string | undefined): TagBody[] => {
    const now = clock.now()
    const bodies: TagBody[] = []
    const prefix = `${site ?? ''}/`
    for (const tag of live.all(now)) {
      if (site !== undefined && !tag.tag.startsWith(prefix)) continue
      if (device !== undefined && parseTag(tag.tag).device !== device) continue
      bodies.push(tagBody(tag, configuration.names, now))
    }
    return bodies
  }

  app.route({
    ...route(routes.tags),
    handler: async request => {
      const { site, device } = request.query
      // The version first: what changes while the list is made comes again as an event, and is not missed.
      const snapshot = live.version
      return { at: clock.now(), snapshot, tags: tagsOf(site, device) }
    },
  })

  app.route({
    ...route(routes.tag),
    handler: async request => {
      const { site, device, tag } = request.params
      const name = tagOf(site, device, tag)
      const found = live.get(name, clock.now())
      if (!found) throw new PenstockError('not-found', { what: 'tag', id: name })
      return tagBody(found, configuration.names, clock.now())
    },
  })

  app.route({
    ...route(routes.sites),
    handler: async () => ({ at: clock.now(), sites: siteBodies(parts) }),
  })

  app.route({
    ...route(routes.device),
    handler: async request => {
      const { site, device } = request.params
      const { names } = configuration
      const tags = tagsOf(site, device)
      const known = names.device(site, device)
      const state = deviceState(parts, site, device)
      if (tags.length === 0 && !known && !state) {
        throw new PenstockError('not-found', { what: 'device', id: `${site}/${device}` })
      }
      return {
        at: clock.now(),
        site,
        device,
        siteName: names.site(site)?.name ?? null,
        name: known?.name ?? null,
        area: known?.area ?? null,
        online: state?.online ?? null,
        edge: state && edgeBody(state.edge, parts),
        tags,
        diagnosis: diagnosisOf(parts, state?.edge.edge, site, device),
        inhibit: parts.alarms.inhibits().get(`${site}/${device}`) ?? null,
      }
    },
  })

  app.route({
    ...route(routes.edges),
    handler: async () => ({ at: clock.now(), edges: edgeBodies(parts) }),
  })
}

function diagnosisOf(parts: HttpParts, edge: string | undefined, site: string, device: string) {
  if (edge === undefined) return null
  const found = parts.live.diagnosis(edge, `${site}:${device}`)
  return found ? { ...found, counters: { ...found.counters } } : null
}
