import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { AlarmCommand } from '../../ingest/record.ts'
import { type Api, actorOf, route } from '../api.ts'
import type { Identity } from '../auth/identities.ts'
import { routes } from '../contract/routes.ts'
import type { HttpParts } from '../parts.ts'
import { edgeBody, isOpen } from '../views/places.ts'

export function commandRoutes(app: Api, parts: HttpParts): void {
  const { alarms, clock } = parts

  /** Carries out a command in the name of the signed-in user and says how it ended. */
  const submit = async (command: AlarmCommand, actor: Identity, commandId: string) => {
    const id = 'alarm' in command ? command.alarm : command.device
    const outcome = await alarms.submit(command, actor.id, commandId)
    switch (outcome.status) {
      case 'done': {
        const alarm = 'alarm' in command ? (alarms.find(command.alarm) ?? null) : null
        return { status: 'done' as const, commandId, actor: actor.id, alarm }
      }
      case 'moved':
        throw new PenstockError('alarm-moved', { alarm: id, occ: outcome.occ, ann: outcome.ann })
      case 'unknown':
        throw new PenstockError('not-found', { what: 'alarm' in command ? 'alarm' : 'device', id })
      case 'id-used':
        throw new PenstockError('command-id-used', { commandId })
      case 'refused':
        throw new PenstockError('command-refused', { reason: outcome.reason, text: outcome.text })
      case 'inhibit-too-long':
        throw new PenstockError('inhibit-too-long', { limit: outcome.limit })
    }
  }

  app.route({
    ...route(routes.alarms),
    handler: async request => {
      const { state = 'open', site, device, limit = 0 } = request.query
      const wanted = alarms.list().filter(alarm => {
        if (site !== undefined && alarm.site !== site) return false
        if (device !== undefined && alarm.device !== device) return false
        if (state === 'open') return isOpen(alarm)
        if (state === 'active') return alarm.active
        if (state === 'unacknowledged') return !alarm.acknowledged
        return true
      })
      const history = limit === 0 ? [] : (await alarms.journal({ limit })).records
      return { at: clock.now(), alarms: wanted, history: [...history] }
    },
  })

  app.route({
    ...route(routes.alarm),
    handler: async request => {
      const { id } = request.params
      const found = alarms.find(id)
      if (!found) throw new PenstockError('not-found', { what: 'alarm', id })
      return found
    },
  })

  app.route({
    ...route(routes.acknowledge),
    handler: async request => {
      const { occ, ann, commandId, comment } = request.body
      const command = { type: 'acknowledge' as const, alarm: request.params.id, occ, ann }
      return submit(comment === undefined ? command : { ...command, comment }, actorOf(request), commandId)
    },
  })

  app.route({
    ...route(routes.reset),
    handler: async request => {
      const { occ, commandId } = request.body
      return submit({ type: 'reset', alarm: request.params.id, occ }, actorOf(request), commandId)
    },
  })

  app.route({
    ...route(routes.inhibit),
    handler: async request => {
      const { site, device } = request.params
      const { until, reason, commandId } = request.body
      return submit({ type: 'inhibit', device: `${site}/${device}`, until, reason }, actorOf(request), commandId)
    },
  })

  app.route({
    ...route(routes.endInhibit),
    handler: async request => {
      const { site, device } = request.params
      const { commandId } = request.body
      return submit({ type: 'end-inhibit', device: `${site}/${device}` }, actorOf(request), commandId)
    },
  })

  app.route({
    ...route(routes.journal),
    handler: async request => {
      const { limit = 200, ...query } = request.query
      const { records, next } = await alarms.journal({ ...query, limit })
      return { records: [...records], next }
    },
  })

  app.route({
    ...route(routes.adopt),
    handler: async request => {
      const { group, edge: id } = request.params
      const { commandId, hardwareId } = request.body
      return adopt(parts, `${group}/${id}`, hardwareId, commandId, actorOf(request))
    },
  })

  app.route({
    ...route(routes.reload),
    handler: async request => {
      parts.log.info({ actor: actorOf(request).id }, 'asked to reload')
      return { results: [...(await parts.configuration.reload())] }
    },
  })
}

/** The box must be the one that was shown: otherwise another one could slip in between the look and the click. */
async function adopt(parts: HttpParts, edge: string, hardwareId: string | null, commandId: string, actor: Identity) {
  const find = () => parts.edges.list().find(candidate => candidate.edge === edge)
  const done = await parts.store.adoption(commandId)
  if (done && (done.edge !== edge || done.hardwareId !== hardwareId)) {
    throw new PenstockError('command-id-used', { commandId })
  }
  const found = find()
  if (!found) throw new PenstockError('not-found', { what: 'edge', id: edge })
  if (!done) {
    await parts.edges.adopt(edge, hardwareId)
    await parts.store.addAdoption({ commandId, edge, hardwareId, actor: actor.id, at: parts.clock.now() })
    parts.log.info({ edge, hardwareId, actor: actor.id }, 'edge adopted')
  }
  return edgeBody(find() ?? found, parts)
}
