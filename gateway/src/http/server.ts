import { readFileSync } from 'node:fs'
import cookie from '@fastify/cookie'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { fastify } from 'fastify'
import type { GatewayFile } from '../config/gateway-file.ts'
import type { Api } from './api.ts'
import { AccessRules } from './auth/access.ts'
import { Identities } from './auth/identities.ts'
import { apiTokenHash } from './auth/token.ts'
import { installConsole } from './console.ts'
import { EventHub } from './events/hub.ts'
import type { HttpParts } from './parts.ts'
import { installProblems } from './problems.ts'
import { commandRoutes } from './routes/commands.ts'
import { eventRoutes } from './routes/events.ts'
import { historyRoutes } from './routes/history.ts'
import { liveRoutes } from './routes/live.ts'
import { sessionRoutes } from './routes/session.ts'
import { statusRoutes } from './routes/status.ts'

const bodyLimit = 64 * 1024

/** The running HTTP server. */
export interface HttpServer {
  /** e.g. `http://127.0.0.1:8080` */
  readonly url: string
  /** an address that signs in once; null unless the configuration asks for it */
  readonly signIn: string | null
  readonly app: Api
  readonly hub: EventHub
  close(): Promise<void>
}

/** Starts the server. @throws PenstockError `port-in-use` */
export async function openHttp(parts: HttpParts, options: { maxUnreadBytes?: number } = {}): Promise<HttpServer> {
  const { http, log, configuration, store, clock } = parts
  const identities = new Identities({
    users: () => configuration.users,
    store,
    clock,
    apiTokenHash: http.apiTokenFile === null ? null : apiTokenHash(http.apiTokenFile),
  })
  const access = new AccessRules(http, identities)
  const app = newApp(http)
  const hub = EventHub.start(parts, options.maxUnreadBytes)
  try {
    installProblems(app, bodyLimit, log)
    await app.register(helmet, securityHeaders(http))
    await app.register(cookie)
    access.install(app)
    await app.register(rateLimit, {
      global: false,
      errorResponseBuilder: (_, { ttl }) => new PenstockError('too-many-requests', { seconds: Math.ceil(ttl / 1000) }),
    })
    statusRoutes(app, parts)
    sessionRoutes(app, parts, identities)
    liveRoutes(app, parts)
    historyRoutes(app, parts)
    commandRoutes(app, parts)
    eventRoutes(app, hub, access)
    await installConsole(app, parts.consoleFolder)
    const url = await listen(app, http)
    const signIn = http.printSignIn ? `${url}/sign-in?code=${identities.newSignInCode()}` : null
    return { url, signIn, app, hub, close: () => close(app, hub) }
  } catch (error) {
    await close(app, hub)
    throw error
  }
}

function newApp(http: GatewayFile['http']): Api {
  const tls = http.tls && { key: readFileSync(http.tls.keyFile), cert: readFileSync(http.tls.certFile) }
  const app = fastify({
    bodyLimit,
    trustProxy: http.behindProxy?.address ?? false,
    forceCloseConnections: true,
    // Names of alarms contain the tag, percent-encoded.
    routerOptions: { maxParamLength: 1_000 },
    ...(tls ? { https: tls } : {}),
  }) as unknown as Api
  // Queries are text and are converted; bodies are taken as they are: nothing coerced, nothing left out.
  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  app.setSerializerCompiler(() => data => JSON.stringify(data))
  app.removeContentTypeParser('text/plain')
  return app
}

function securityHeaders(http: GatewayFile['http']) {
  const secure = http.tls !== null || http.behindProxy !== null
  return {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        // The component library of the console writes its styles into the page.
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    // Over plain HTTP on loopback the browser must not be sent to HTTPS.
    strictTransportSecurity: secure ? { maxAge: 15_552_000 } : false,
    referrerPolicy: { policy: 'no-referrer' },
  } as const
}

async function listen(app: Api, http: GatewayFile['http']): Promise<string> {
  try {
    await app.listen({ host: http.host, port: http.port })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new PenstockError('port-in-use', { host: http.host, port: http.port, option: 'http.port' }, { cause: error })
  }
  const address = app.server.address()
  const port = typeof address === 'object' && address ? address.port : http.port
  const host = http.host.includes(':') ? `[${http.host}]` : http.host
  return `${http.tls ? 'https' : 'http'}://${host}:${port}`
}

async function close(app: Api, hub: EventHub): Promise<void> {
  hub.close()
  await app.close()
}
