import { createConnection, type Socket } from 'node:net'
import { turn } from '../support/manual-time.ts'

/** A Modbus TCP client of bytes, which sees exactly what the server sends. Knows nothing of registers. */
export class RawClient {
  readonly #socket: Socket
  #bytes = Buffer.alloc(0)
  #transaction = 0
  closedWith: 'end' | 'reset' | null = null

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', chunk => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
    })
    socket.on('error', () => {
      this.closedWith = 'reset'
    })
    socket.on('close', () => {
      this.closedWith ??= 'end'
    })
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ port, host: '127.0.0.1', noDelay: true }, () => resolve(new RawClient(socket)))
      socket.once('error', reject)
    })
  }

  send(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  /** A frame for a unit with the next transaction id. */
  frame(unitId: number, pdu: readonly number[]): Buffer {
    this.#transaction = (this.#transaction + 1) & 0xffff
    return mbap(this.#transaction, unitId, pdu)
  }

  /** What has come, whole frames and rests alike; what is returned is taken out. */
  take(): Buffer {
    const bytes = this.#bytes
    this.#bytes = Buffer.alloc(0)
    return bytes
  }

  get received(): number {
    return this.#bytes.length
  }

  /** Waits for at least `length` bytes, or for the end of the connection. */
  async bytes(length: number): Promise<Buffer> {
    while (this.#bytes.length < length && this.closedWith === null) await turn()
    return this.take()
  }

  /** One request, one answer (header and PDU). */
  async ask(unitId: number, pdu: readonly number[]): Promise<Buffer> {
    this.send(this.frame(unitId, pdu))
    while (!wholeFrame(this.#bytes) && this.closedWith === null) await turn()
    return this.take()
  }

  /**
   * As `ask`, null when the server has handled the request and no byte has come: the server writes in the same turn in
   * which it counts, so that a few turns later there is nothing to wait for.
   */
  async tryAsk(unitId: number, pdu: readonly number[], handled: () => number): Promise<Buffer | null> {
    const before = handled()
    this.send(this.frame(unitId, pdu))
    while (handled() === before && this.closedWith === null) await turn()
    for (let turns = 0; turns < 20 && !wholeFrame(this.#bytes) && this.closedWith === null; turns++) await turn()
    return wholeFrame(this.#bytes) ? this.take() : null
  }

  async closed(): Promise<'end' | 'reset'> {
    while (this.closedWith === null) await turn()
    return this.closedWith
  }

  end(): void {
    this.#socket.end()
  }

  close(): void {
    this.#socket.destroy()
  }
}

const wholeFrame = (bytes: Buffer): boolean => bytes.length >= 7 && bytes.length >= 6 + bytes.readUInt16BE(4)

export function mbap(transaction: number, unitId: number, pdu: readonly number[]): Buffer {
  const header = Buffer.alloc(7)
  header.writeUInt16BE(transaction, 0)
  header.writeUInt16BE(pdu.length + 1, 4)
  header[6] = unitId
  return Buffer.concat([header, Buffer.from(pdu)])
}

/** PDU of a read: function, address, count. */
export const read = (functionCode: number, address: number, count: number): number[] => [
  functionCode,
  address >> 8,
  address & 0xff,
  count >> 8,
  count & 0xff,
]

/** PDU of function 16. */
export const write = (address: number, values: readonly number[]): number[] => [
  16,
  address >> 8,
  address & 0xff,
  0,
  values.length,
  2 * values.length,
  ...values.flatMap(value => [value >> 8, value & 0xff]),
]

/** Payload of a read answer (behind the byte count). */
export const payload = (frame: Buffer): Buffer => frame.subarray(9)
