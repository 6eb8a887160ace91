import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { GatewayFile } from '../../config/gateway-file.ts'
import type { Access } from '../contract/routes.ts'
import { type Identities, type Identity, mayAct } from './identities.ts'

export const sessionCookie = 'penstock'

declare module 'fastify' {
  interface FastifyRequest {
    /** who asks; null on public routes without credentials */
    identity: Identity | null
  }
  interface FastifyContextConfig {
    access?: Access
  }
}

const loopbackNames = ['localhost', '127.0.0.1', '[::1]']
const loopbackAddresses = ['127.0.0.1', '::1', '::ffff:127.0.0.1']
const safeMethods = ['GET', 'HEAD', 'OPTIONS']

/** The name part of a Host header or of an origin's host. */
const nameOf = (host: string): string => host.replace(/:\d+$/, '').toLowerCase()

/**
 * Who may ask for what. A page of another site in the operator's browser can neither read (the Host header must be one of
 * ours, which stops DNS rebinding) nor act (Origin must be ours, SameSite cookie, JSON only).
 */
export class AccessRules {
  readonly #http: GatewayFile['http']
  readonly #identities: Identities
  readonly #hosts: ReadonlySet<string>
  /** origin of our own pages where a proxy gives us another Host than the browser asked for */
  readonly #publicOrigin: string | null

  constructor(http: GatewayFile['http'], identities: Identities) {
    this.#http = http
    this.#identities = identities
    const own = http.host.includes(':') ? `[${http.host}]` : http.host
    const publicNames = http.publicUrl === null ? [] : [new URL(http.publicUrl).hostname]
    this.#hosts = new Set([...loopbackNames, own, ...publicNames, ...http.hostNames].map(host => host.toLowerCase()))
    this.#publicOrigin = http.publicUrl
  }

  install(app: FastifyInstance): void {
    app.decorateRequest('identity', null)
    app.addHook('onRequest', async request => {
      this.#checkOrigin(request)
      request.identity = await this.identify(request)
      this.#checkRole(request, request.routeOptions.config.access ?? 'public')
    })
  }

  /** Who asks, by bearer token or else by session. */
  async identify(request: FastifyRequest): Promise<Identity | null> {
    const { authorization } = request.headers
    if (authorization !== undefined) {
      const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
      return token === undefined ? null : this.#identities.byToken(token)
    }
    const secret = request.cookies[sessionCookie]
    return secret === undefined ? null : this.#identities.bySession(secret)
  }

  #checkOrigin(request: FastifyRequest): void {
    const proxy = this.#http.behindProxy?.address
    const peer = request.socket.remoteAddress ?? ''
    if (proxy !== undefined && peer !== proxy && peer !== `::ffff:${proxy}` && !loopbackAddresses.includes(peer)) {
      throw new PenstockError('proxy-only', { proxy })
    }
    const host = request.headers.host ?? ''
    if (!this.#hosts.has(nameOf(host))) throw new PenstockError('host-refused', { host })
    const { origin } = request.headers
    const site = request.headers['sec-fetch-site']
    const foreign = origin !== undefined && origin !== this.#publicOrigin && !isSameHost(origin, host)
    if (!safeMethods.includes(request.method)) {
      // A browser always says where a POST comes from; a cookie without that is not from our page.
      const unsaid =
        origin === undefined && request.headers.authorization === undefined && request.cookies[sessionCookie]
      if (foreign || unsaid) throw new PenstockError('origin-refused', { origin: origin ?? 'unknown' })
    } else if (request.url.startsWith('/api/') && (foreign || site === 'cross-site')) {
      throw new PenstockError('origin-refused', { origin: origin ?? 'unknown' })
    }
  }

  #checkRole(request: FastifyRequest, access: Access): void {
    if (access === 'public') return
    const { identity } = request
    if (access === 'metrics') {
      const local = loopbackAddresses.includes(request.socket.remoteAddress ?? '') && this.#http.behindProxy === null
      if (!local && !identity) throw new PenstockError('unauthenticated')
      return
    }
    if (!identity) throw new PenstockError('unauthenticated')
    if (!mayAct(identity.role, access)) {
      throw new PenstockError('role-missing', { needed: access, user: identity.id, role: identity.role })
    }
  }
}

function isSameHost(origin: string, host: string): boolean {
  try {
    return new URL(origin).host === host.toLowerCase()
  } catch {
    return false
  }
}
