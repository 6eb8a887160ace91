import { connect, type Socket } from 'node:net'
import type { Cancel, Ticker } from '@penstock/core/runtime/clock.ts'
import { headerBytes, longestLength, shortestLength, writeRegistersCode } from './frame.ts'

/** Why a request got no answer. `protocol`: only answers that did not fit it came. `closed`: the connection ended first. */
export type Failure =
  | { readonly kind: 'timeout' | 'protocol' | 'closed' }
  | { readonly kind: 'exception'; readonly code: number }

/** One request with its answer. May be sent again after `answered` or `failed`. */
export interface Exchange {
  readonly unitId: number
  readonly functionCode: number
  /** MBAP header and PDU; the client writes the transaction id, and replaces the buffer after a failure. */
  frame: Buffer
  /** data bytes that a right answer to a read carries; 0 for a write */
  readonly answerBytes: number
  /** The data of the answer is `data[from, from + answerBytes)`, valid only during the call. */
  answered(data: Buffer, from: number): void
  failed(failure: Failure): void
}

/** An answer that nobody waits for. `late`: its request had timed out; `foreign`: never asked; `mismatched`: does not fit its request. */
export type Stray = 'late' | 'foreign' | 'mismatched'

export interface ModbusClientOptions {
  readonly host: string
  readonly port: number
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  readonly ticker: Ticker
  readonly signal: AbortSignal
  readonly onStray: (kind: Stray, unitId: number) => void
}

interface Slot {
  readonly transaction: number
  readonly exchange: Exchange
  readonly deadline: number
  mismatched: boolean
}

const inputBytes = 2048
const rememberedLate = 64

/**
 * A Modbus TCP connection. Several requests may be in flight; each has its own time-out, and what comes late, twice, for
 * somebody else or with the wrong unit, function or size is counted and dropped: it never reaches another request.
 * A byte stream that is not Modbus cannot be resynchronised and closes the connection.
 */
export class ModbusClient {
  /** Resolves when the connection has ended, with the reason in words. */
  readonly ended: Promise<string>
  readonly #socket: Socket
  readonly #ticker: Ticker
  readonly #timeoutMs: number
  readonly #onStray: ModbusClientOptions['onStray']
  readonly #slots: Slot[] = []
  readonly #late = new Int32Array(rememberedLate).fill(-1)
  #lateCount = 0
  #transaction = 0
  #rest = Buffer.alloc(0)
  #cancelTimer: Cancel | undefined
  #reason: string | undefined
  #end: (reason: string) => void = () => {}

  constructor(socket: Socket, options: ModbusClientOptions) {
    this.#socket = socket
    this.#ticker = options.ticker
    this.#timeoutMs = options.timeoutMs
    this.#onStray = options.onStray
    this.ended = new Promise(resolve => {
      this.#end = resolve
    })
  }

  get inFlight(): number {
    return this.#slots.length
  }

  get isOpen(): boolean {
    return this.#reason === undefined
  }

  /** Puts the request on the wire; the exchange hears of it later, never within this call. */
  send(exchange: Exchange): void {
    const transaction = this.#transaction
    this.#transaction = (transaction + 1) & 0xffff
    exchange.frame[0] = transaction >> 8
    exchange.frame[1] = transaction & 0xff
    this.#slots.push({ transaction, exchange, deadline: this.#ticker.now() + this.#timeoutMs, mismatched: false })
    this.#socket.write(exchange.frame)
    this.#cancelTimer ??= this.#ticker.after(this.#timeoutMs, this.#expire)
  }

  /** Requests sent until `uncork` leave in one write. */
  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }

  /** Ends the connection; what is in flight fails with `closed`. */
  close(reason = 'closed'): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.#cancelTimer?.()
    this.#socket.destroy()
    for (const slot of this.#slots.splice(0)) this.#fail(slot, { kind: 'closed' })
    this.#end(reason)
  }

  /** Takes the first `count` bytes of the socket's buffer. */
  receive(bytes: Buffer, count: number): void {
    const whole = this.#rest.length === 0
    const input = whole ? bytes : Buffer.concat([this.#rest, bytes.subarray(0, count)])
    const end = whole ? count : input.length
    let at = 0
    while (this.isOpen && end - at >= 6) {
      const length = (byteAt(input, at + 4) << 8) | byteAt(input, at + 5)
      if (
        byteAt(input, at + 2) !== 0 ||
        byteAt(input, at + 3) !== 0 ||
        length < shortestLength ||
        length > longestLength
      ) {
        this.close(`not Modbus: ${input.toString('hex', at, Math.min(end, at + 16))}`)
        return
      }
      if (end - at < 6 + length) break
      this.#answer(input, at, length)
      at += 6 + length
    }
    // the socket's buffer will be overwritten: what is kept is copied
    this.#rest = at >= end ? empty : Buffer.from(input.subarray(at, end))
  }

  #answer(input: Buffer, at: number, length: number): void {
    const transaction = (byteAt(input, at) << 8) | byteAt(input, at + 1)
    const unitId = byteAt(input, at + 6)
    const index = this.#slots.findIndex(slot => slot.transaction === transaction)
    const slot = this.#slots[index]
    if (!slot) {
      this.#onStray(this.#late.includes(transaction) ? 'late' : 'foreign', unitId)
      return
    }
    const { exchange } = slot
    const functionCode = byteAt(input, at + headerBytes)
    if (unitId === exchange.unitId && functionCode === (exchange.functionCode | 0x80) && length === 3) {
      this.#slots.splice(index, 1)
      this.#fail(slot, { kind: 'exception', code: byteAt(input, at + headerBytes + 1) })
    } else if (
      unitId === exchange.unitId &&
      functionCode === exchange.functionCode &&
      fits(exchange, input, at, length)
    ) {
      this.#slots.splice(index, 1)
      exchange.answered(input, at + headerBytes + 2)
    } else {
      slot.mismatched = true
      this.#onStray('mismatched', unitId)
    }
  }

  readonly #expire = (): void => {
    this.#cancelTimer = undefined
    const now = this.#ticker.now()
    let due = 0
    while ((this.#slots[due]?.deadline ?? Number.POSITIVE_INFINITY) <= now) due++
    for (const slot of this.#slots.splice(0, due)) {
      this.#late[this.#lateCount++ % rememberedLate] = slot.transaction
      this.#fail(slot, { kind: slot.mismatched ? 'protocol' : 'timeout' })
    }
    const next = this.#slots[0]
    // one timer for all requests; it stays armed while there is something to wait for
    if (next && this.isOpen) this.#cancelTimer ??= this.#ticker.after(Math.max(0, next.deadline - now), this.#expire)
  }

  #fail(slot: Slot, failure: Failure): void {
    // the old frame may still wait in the socket
    slot.exchange.frame = Buffer.from(slot.exchange.frame)
    slot.exchange.failed(failure)
  }
}

const empty = Buffer.alloc(0)

/** A byte of a buffer whose length has been checked. */
const byteAt = (buffer: Buffer, index: number): number => buffer[index] ?? 0

function fits(exchange: Exchange, input: Buffer, at: number, length: number): boolean {
  if (exchange.functionCode === writeRegistersCode) {
    // the answer repeats address and quantity
    return length === 6 && input.compare(exchange.frame, 8, 12, at + 8, at + 12) === 0
  }
  return byteAt(input, at + 8) === exchange.answerBytes && length === 3 + exchange.answerBytes
}

/** Connects once. Rejects with the reason (refused, unreachable, time-out, aborted). */
export function openModbusClient(options: ModbusClientOptions): Promise<ModbusClient> {
  return new Promise((resolve, reject) => {
    const { host, port, signal, ticker } = options
    if (signal.aborted) return reject(signal.reason)
    const input = Buffer.allocUnsafeSlow(inputBytes)
    let client: ModbusClient | undefined
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 15_000,
      // one buffer for the life of the connection
      onread: {
        buffer: input,
        callback: count => {
          client?.receive(input, count)
          return true
        },
      },
    })
    const opened = new ModbusClient(socket, options)
    const cancel = ticker.after(options.connectTimeoutMs, () =>
      giveUp(new Error(`no connection within ${options.connectTimeoutMs} ms`)),
    )
    const giveUp = (reason: Error) => {
      cancel()
      socket.destroy()
      reject(reason)
    }
    const abort = () => (client ? client.close('closed') : giveUp(signal.reason))
    signal.addEventListener('abort', abort, { once: true })
    socket.once('connect', () => {
      cancel()
      client = opened
      resolve(opened)
    })
    socket.on('error', error => {
      cancel()
      if (client) client.close(error.message)
      else reject(error)
    })
    socket.on('end', () => client?.close('the other side closed the connection'))
    socket.on('close', () => {
      signal.removeEventListener('abort', abort)
      client?.close('the connection was lost')
    })
  })
}
