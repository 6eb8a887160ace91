interface ErrorKind {
  /** `{name}` is filled from the details; says what is wrong and what to do. */
  readonly message: string
  readonly retryable: boolean
  /** status when it reaches an HTTP client */
  readonly http: number
}

/**
 * Every error code of Penstock. docs/errors.md is generated from this table (`npm run generate`).
 * A failed read of an instrument is not an error but a reading of quality `bad` with a reason.
 */
export const errorTable = {
  'bad-tag': {
    message: 'the tag "{tag}" is not of the form site/device/tag with ids of letters, digits, "-", "_" and "."',
    retryable: false,
    http: 400,
  },
  'bad-payload': { message: 'not a Sparkplug B payload: {problem}', retryable: false, http: 400 },
  'bad-topic': {
    message: 'the Sparkplug id "{id}" is empty or contains "+", "/" or "#"',
    retryable: false,
    http: 400,
  },
  'config-invalid': { message: '{text}', retryable: false, http: 422 },
  'config-missing': {
    message: 'the file {path} cannot be read ({cause}); name an existing file with --config',
    retryable: false,
    http: 422,
  },
  'port-in-use': {
    message: 'port {port} on {host} is in use; stop the other program or choose another port with {option}',
    retryable: false,
    http: 503,
  },
  'data-in-use': {
    message: 'the data folder {path} is in use by process {pid}; stop that process or choose another folder',
    retryable: false,
    http: 503,
  },
  'disk-full': { message: 'no space left for {path}; free space or raise the limit', retryable: true, http: 507 },
  'disk-failed': { message: 'writing {path} failed: {cause}', retryable: true, http: 507 },
  'broker-unreachable': { message: 'no connection to the MQTT broker {url}: {cause}', retryable: true, http: 503 },
  'broker-refused': {
    message: 'the MQTT broker {url} refused user "{username}": {cause}; check the user and the password file',
    retryable: true,
    http: 503,
  },
  'edge-unknown': {
    message: 'the edge "{edge}" has never been seen; check its name, its group and the gateway file',
    retryable: false,
    http: 404,
  },
  'edge-changed': {
    message: 'the edge "{edge}" now has the hardware id {hardwareId}; look at it again before you adopt it',
    retryable: false,
    http: 409,
  },
  closed: { message: '{what} is closed', retryable: false, http: 503 },
  'data-newer': {
    message: 'the data in {path} is of version {found}, this program knows {known}; start the newer program',
    retryable: false,
    http: 503,
  },
  'not-found': { message: 'there is no {what} "{id}"', retryable: false, http: 404 },
  'request-invalid': { message: '{text}', retryable: false, http: 400 },
  'not-json': { message: 'send the body as application/json', retryable: false, http: 415 },
  'too-large': { message: 'the request is larger than {limit} bytes', retryable: false, http: 413 },
  unauthenticated: { message: 'sign in, or send a token as "Authorization: Bearer ..."', retryable: false, http: 401 },
  'sign-in-failed': {
    message: 'name and password do not fit, or the sign-in address was used or is older than 10 minutes',
    retryable: false,
    http: 401,
  },
  'role-missing': { message: 'this needs the role {needed}; {user} has {role}', retryable: false, http: 403 },
  'host-refused': {
    message: 'this gateway does not answer to the name "{host}"; add it to http.hostNames in the gateway file',
    retryable: false,
    http: 403,
  },
  'origin-refused': { message: 'requests from the page {origin} are refused', retryable: false, http: 403 },
  'proxy-only': { message: 'this gateway answers only through its proxy {proxy}', retryable: false, http: 403 },
  'too-many-requests': { message: 'too many attempts; try again in {seconds} s', retryable: true, http: 429 },
  'alarm-moved': {
    message: 'the alarm has been announced anew since (occurrence {occ}, announcement {ann}); look at it again',
    retryable: false,
    http: 409,
  },
  'command-refused': { message: 'not done: {text}', retryable: false, http: 409 },
  'command-id-used': {
    message: 'the command id {commandId} was used for another command; make a new one',
    retryable: false,
    http: 409,
  },
  'inhibit-too-long': {
    message:
      'not done: an inhibit must end in the future, and at most {limit} after it began (inhibit.max of the alarm rules)',
    retryable: false,
    http: 422,
  },
  'not-ready': { message: '{what} is not ready; try again', retryable: true, http: 503 },
  internal: { message: 'internal error {id}; the log has the details under this id', retryable: true, http: 500 },
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof errorTable
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>

/** The one error class. `details` fill the message and go to the client; `cause` stays in the log. */
export class PenstockError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(
      errorTable[code].message.replace(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? '?')),
      options,
    )
    this.name = 'PenstockError'
    this.code = code
    this.details = details
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable
  }

  get httpStatus(): number {
    return errorTable[this.code].http
  }
}
