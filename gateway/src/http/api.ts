import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { Identity } from './auth/identities.ts'
import type { RouteContract } from './contract/routes.ts'

/** The server with types of requests and answers taken from the schemas of the route. */
export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** Method, address, schemas and access of a route of the contract, as Fastify takes them. */
export const route = <T extends RouteContract>(contract: T) => ({
  method: contract.method,
  url: contract.url,
  // Schemas of answers are for the types and the OpenAPI document; answers are written by JSON.stringify as they are.
  schema: contract.schema as T['schema'],
  config: { access: contract.access },
})

/** The signed-in user of a route that needs one. */
export function actorOf(request: { readonly identity: Identity | null }): Identity {
  if (!request.identity) throw new PenstockError('unauthenticated')
  return request.identity
}
