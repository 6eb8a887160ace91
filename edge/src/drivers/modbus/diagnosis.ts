import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import type { Reason } from '@penstock/core/reading.ts'
import type { Failure } from './client.ts'
import { exceptionNames, headerBytes } from './frame.ts'

const longestAnswer = 260

type Counter =
  | 'requests'
  | 'answers'
  | 'timeouts'
  | 'exceptions'
  /** the connection ended before the answer */
  | 'cut'
  | 'late'
  | 'foreign'
  | 'mismatched'
  | 'scans'
  | 'missedScans'
  | 'isolated'
  | 'torn'
  | 'reconnects'

/** Keeps what the last request and answer of a unit were, cheaply: texts are made when somebody asks. */
export class UnitDiagnosis {
  readonly counters: Record<Counter, number> = {
    requests: 0,
    answers: 0,
    timeouts: 0,
    exceptions: 0,
    cut: 0,
    late: 0,
    foreign: 0,
    mismatched: 0,
    scans: 0,
    missedScans: 0,
    isolated: 0,
    torn: 0,
    reconnects: 0,
  }
  readonly #address: string
  readonly #request = Buffer.alloc(longestAnswer)
  readonly #answer = Buffer.alloc(longestAnswer)
  #requestBytes = 0
  #answerBytes = 0
  #requestAt = 0
  #answerAt = 0
  #lastError: DeviceDiagnosis['lastError'] = null
  #state: DeviceDiagnosis['state'] = 'starting'
  #since: number

  constructor(address: string, now: number) {
    this.#address = address
    this.#since = now
  }

  get state(): DeviceDiagnosis['state'] {
    return this.#state
  }

  sent(frame: Buffer, now: number): void {
    this.counters.requests++
    this.#requestAt = now
    this.#requestBytes = frame.copy(this.#request)
  }

  /** A right answer, a whole frame. */
  answered(bytes: Buffer, from: number, to: number, now: number): void {
    this.counters.answers++
    this.#answerAt = now
    this.#answerBytes = bytes.copy(this.#answer, 0, from, to)
  }

  /** An exception: its frame follows from the request's. */
  refused(code: number, now: number): void {
    this.counters.answers++
    this.counters.exceptions++
    this.#answerAt = now
    this.#answerBytes = headerBytes + 2
    this.#request.copy(this.#answer, 0, 0, headerBytes)
    this.#answer.writeUInt16BE(3, 4)
    this.#answer[headerBytes] = (this.#request[headerBytes] ?? 0) | 0x80
    this.#answer[headerBytes + 1] = code
  }

  failed(reason: Reason, text: string, now: number): void {
    this.#lastError = { at: now, reason, text }
  }

  /** Returns true when the state is another one. */
  enter(state: DeviceDiagnosis['state'], now: number): boolean {
    if (state === this.#state) return false
    this.#state = state
    this.#since = now
    return true
  }

  read(nextTryAt: number | null): DeviceDiagnosis {
    return {
      address: this.#address,
      state: this.#state,
      since: this.#since,
      lastRequest:
        this.#requestBytes === 0
          ? null
          : {
              at: this.#requestAt,
              what: describeRequest(this.#request),
              hex: this.#request.toString('hex', 0, this.#requestBytes),
            },
      lastAnswer:
        this.#answerBytes === 0
          ? null
          : { at: this.#answerAt, hex: this.#answer.toString('hex', 0, this.#answerBytes) },
      lastError: this.#lastError,
      nextTryAt,
      counters: { ...this.counters },
    }
  }
}

export function describeRequest(frame: Buffer): string {
  const functionCode = frame[7] ?? 0
  const start = frame.readUInt16BE(8)
  const count = frame.readUInt16BE(10)
  const verb = functionCode === 16 ? 'write' : 'read'
  const what = functionCode <= 2 ? 'bits' : 'registers'
  return `${verb} ${what} ${start} to ${start + count - 1} (function ${functionCode})`
}

const describeException = (code: number): string =>
  `exception ${code} (${exceptionNames[code] ?? 'not in the standard'})`

/** A failure in words, for the person at the cabinet. */
export function describeFailure(failure: Failure, timeoutMs: number): string {
  switch (failure.kind) {
    case 'exception':
      return describeException(failure.code)
    case 'protocol':
      return 'only answers that do not fit the request'
    case 'closed':
      return 'the connection was lost before the answer came'
    case 'timeout':
      return `no answer within ${timeoutMs} ms`
  }
}
