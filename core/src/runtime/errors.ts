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
  closed: { message: '{what} is closed', retryable: false, http: 503 },
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
