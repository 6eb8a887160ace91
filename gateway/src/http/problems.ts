import { randomUUID } from 'node:crypto'
import { type ErrorCode, errorTable, PenstockError } from '@penstock/core/runtime/errors.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import type { ProblemBody } from './contract/problem.ts'

/** RFC 9457 */
export function problemOf(error: PenstockError): ProblemBody {
  return {
    type: `urn:penstock:${error.code}`,
    title: error.code,
    status: error.httpStatus,
    detail: error.message,
    code: error.code,
    details: { ...error.details },
    retryable: error.retryable,
  }
}

/** What goes wrong before a handler runs, by Fastify's codes. */
const frameworkErrors: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'not-json',
  FST_ERR_CTP_BODY_TOO_LARGE: 'too-large',
  FST_ERR_CTP_INVALID_JSON_BODY: 'request-invalid',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'request-invalid',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'request-invalid',
}

interface SchemaProblem {
  readonly instancePath?: string
  readonly message?: string
  readonly params?: object
}

function validationText(part: string, problems: readonly SchemaProblem[]): string {
  const texts = problems.map(({ instancePath, message, params }) => {
    const place = `${part}${(instancePath ?? '').replaceAll('/', '.')}`
    const extra = Object.values(params ?? {})
      .flat()
      .filter(value => typeof value === 'string')
    return `${place} ${message ?? 'is wrong'}${extra.length > 0 ? ` (${extra.join(', ')})` : ''}`
  })
  return [...new Set(texts)].join('; ')
}

function toPenstock(error: FastifyError | Error, bodyLimit: number, log: Logger): PenstockError {
  if (error instanceof PenstockError) return error
  const { code, validation, validationContext, statusCode } = error as Partial<FastifyError>
  if (validation) {
    return new PenstockError('request-invalid', { text: validationText(validationContext ?? 'request', validation) })
  }
  const known = code === undefined ? undefined : frameworkErrors[code]
  if (known === 'too-large') return new PenstockError('too-large', { limit: bodyLimit })
  if (known === 'request-invalid') return new PenstockError('request-invalid', { text: error.message })
  if (known) return new PenstockError(known)
  if (statusCode === 400) return new PenstockError('request-invalid', { text: error.message })
  const id = randomUUID()
  log.error({ err: error, id }, 'a request failed')
  return new PenstockError('internal', { id }, { cause: error })
}

export function sendProblem(reply: FastifyReply, error: PenstockError): FastifyReply {
  const { code } = error
  if (code === 'too-many-requests') reply.header('Retry-After', String(error.details.seconds ?? 60))
  if (code === 'unauthenticated') reply.header('WWW-Authenticate', 'Bearer')
  return reply.code(errorTable[code].http).type('application/problem+json').send(problemOf(error))
}

/** Every error leaves as `application/problem+json` with a code of the table; causes and stacks stay in the log. */
export function installProblems(app: FastifyInstance, bodyLimit: number, log: Logger): void {
  app.setErrorHandler((error: FastifyError, _request, reply) => sendProblem(reply, toPenstock(error, bodyLimit, log)))
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, new PenstockError('not-found', { what: 'address', id: request.url.split('?')[0] ?? '' })),
  )
}
