import type { CookieSerializeOptions } from '@fastify/cookie'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FastifyReply } from 'fastify'
import { type Api, actorOf, route } from '../api.ts'
import { sessionCookie } from '../auth/access.ts'
import type { Identities } from '../auth/identities.ts'
import { routes } from '../contract/routes.ts'
import type { HttpParts } from '../parts.ts'

const attempts = { max: 10, timeWindow: 60_000 } as const

export function sessionRoutes(app: Api, parts: HttpParts, identities: Identities): void {
  const { http, clock } = parts
  const cookie: CookieSerializeOptions = {
    path: '/',
    httpOnly: true,
    sameSite: 'strict',
    secure: http.tls !== null || http.behindProxy !== null,
  }
  const setSession = (reply: FastifyReply, secret: string, expiresAt: number) =>
    reply.setCookie(sessionCookie, secret, { ...cookie, maxAge: Math.floor((expiresAt - clock.now()) / 1000) })
  const limited = <T extends { config: object }>(contract: T): T => ({
    ...contract,
    config: { ...contract.config, rateLimit: attempts },
  })

  app.route({
    ...limited(route(routes.openSignIn)),
    handler: async (request, reply) => {
      const session = await identities.signInByCode(request.query.code)
      if (!session) {
        parts.log.warn({ ip: request.ip }, 'a sign-in address was refused')
        throw new PenstockError('sign-in-failed')
      }
      parts.log.info({ ip: request.ip }, 'signed in by the printed address')
      setSession(reply, session.secret, session.expiresAt)
      return reply.header('Cache-Control', 'no-store').code(303).header('Location', '/').send(null)
    },
  })

  app.route({
    ...limited(route(routes.signIn)),
    handler: async (request, reply) => {
      const session = await identities.signIn(request.body.user, request.body.password)
      const { user } = request.body
      if (!session) {
        parts.log.warn({ user, ip: request.ip }, 'a sign-in was refused')
        throw new PenstockError('sign-in-failed')
      }
      parts.log.info({ user, ip: request.ip }, 'signed in')
      setSession(reply, session.secret, session.identity.expiresAt ?? clock.now())
      return session.identity
    },
  })

  app.route({
    ...route(routes.signOut),
    handler: async (request, reply) => {
      const secret = request.cookies[sessionCookie]
      if (secret !== undefined) await identities.signOut(secret)
      return reply.clearCookie(sessionCookie, cookie).code(204).send(null)
    },
  })

  app.route({ ...route(routes.me), handler: async request => ({ ...actorOf(request) }) })
}
