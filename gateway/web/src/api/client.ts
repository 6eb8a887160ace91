import createClient from 'openapi-fetch'
import type { components, paths } from '../generated/api.ts'

type Schemas = components['schemas']
export type Alarm = Schemas['Alarm']
export type Device = Schemas['Device']
export type Diagnosis = Schemas['Diagnosis']
export type Edge = Schemas['Edge']
export type JournalRecord = Schemas['JournalRecord']
export type Me = Schemas['Me']
export type Problem = Schemas['Problem']
export type Site = Schemas['Site']
export type Status = Schemas['Status']
export type Tag = Schemas['Tag']

export const client = createClient<paths>({ baseUrl: '/', credentials: 'same-origin' })

/** The body of a successful answer. @throws ApiError with the gateway's own words */
export async function answer<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call
  if (data !== undefined || response.ok) return data as T
  throw new ApiError(response.status, error as Partial<Problem> | undefined)
}

export class ApiError extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, problem: Partial<Problem> | undefined) {
    super(problem?.detail ?? problem?.title ?? `HTTP ${status}`)
    this.status = status
    this.code = problem?.code ?? 'unknown'
  }
}

/** A new command id: the same id is carried out once, however often it is sent. */
export function newCommandId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}
