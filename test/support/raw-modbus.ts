import { createServer, type Server, type Socket } from 'node:net'

export interface RawRequest {
  readonly transaction: number
  readonly unitId: number
  readonly functionCode: number
  readonly start: number
  readonly count: number
  readonly values: readonly number[]
}

/** What the server does with a request instead of answering it rightly. */
export type RawFault =
  | 'silent'
  | 'wrong-transaction'
  | 'wrong-unit'
  | 'wrong-function'
  | 'wrong-count'
  | 'wrong-byte-count'
  | 'twice'
  | 'bytewise'
  | 'garbage'
  | 'reset'
  | 'hang-up'
  /** kept until `release()` */
  | 'late'
  | { readonly exception: number }

/**
 * A Modbus TCP server for tests that can misbehave in every way. Written apart from client and simulator. Registers are 0
 * unless set; a unit answers when it has registers or is in `alive`.
 */
export class RawModbus {
  readonly requests: RawRequest[] = []
  fault: (request: RawRequest) => RawFault | null = () => null
  /** called before a request is answered: the registers may move */
  onRead: (request: RawRequest) => void = () => {}
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #registers = new Map<number, Map<number, number>>()
  readonly #kept: (() => void)[] = []
  #watchers: (() => void)[] = []
  connections = 0

  constructor(server: Server) {
    this.#server = server
  }

  static async open(port = 0): Promise<RawModbus> {
    const server = createServer({ noDelay: true })
    const raw = new RawModbus(server)
    server.on('connection', socket => raw.#serve(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    return raw
  }

  get port(): number {
    const address = this.#server.address()
    return address !== null && typeof address === 'object' ? address.port : 0
  }

  /** Words from `start` on; holding, input registers and bits are one space. */
  set(unitId: number, start: number, ...words: number[]): void {
    const unit = this.#registers.get(unitId) ?? new Map<number, number>()
    this.#registers.set(unitId, unit)
    for (const [index, word] of words.entries()) unit.set(start + index, word & 0xffff)
  }

  get(unitId: number, register: number): number {
    return this.#registers.get(unitId)?.get(register) ?? 0
  }

  /** Lets the answers go that were kept back as `late`. */
  release(): void {
    for (const answer of this.#kept.splice(0)) answer()
  }

  /** Resolves when so many requests have come in all. */
  async received(count: number): Promise<void> {
    while (this.requests.length < count) await new Promise<void>(resolve => this.#watchers.push(resolve))
  }

  /** Bytes that nobody asked for, to all clients. */
  push(bytes: Buffer): void {
    for (const socket of this.#sockets) socket.write(bytes)
  }

  resetAll(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>(resolve => this.#server.close(() => resolve()))
  }

  #serve(socket: Socket): void {
    this.connections++
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    let rest = Buffer.alloc(0)
    socket.on('data', bytes => {
      rest = Buffer.concat([rest, bytes])
      while (rest.length >= 12) {
        const size = 6 + rest.readUInt16BE(4)
        if (rest.length < size) break
        this.#take(socket, rest.subarray(0, size))
        rest = rest.subarray(size)
      }
    })
  }

  #take(socket: Socket, frame: Buffer): void {
    const functionCode = frame[7] ?? 0
    const values: number[] = []
    if (functionCode === 16) for (let at = 13; at + 1 < frame.length; at += 2) values.push(frame.readUInt16BE(at))
    const request: RawRequest = {
      transaction: frame.readUInt16BE(0),
      unitId: frame[6] ?? 0,
      functionCode,
      start: frame.readUInt16BE(8),
      count: frame.readUInt16BE(10),
      values,
    }
    this.onRead(request)
    this.requests.push(request)
    const fault = this.fault(request)
    this.#answer(socket, request, fault)
    for (const watcher of this.#watchers.splice(0)) watcher()
  }

  #answer(socket: Socket, request: RawRequest, fault: RawFault | null): void {
    if (fault === 'silent') return
    if (fault === 'reset') return void socket.resetAndDestroy()
    if (fault === 'hang-up') return void socket.end()
    if (fault === 'garbage') return void socket.write(Buffer.from('deadbeef00ff1337c0ffee11', 'hex'))
    if (fault !== null && typeof fault === 'object') {
      return void socket.write(mbap(request, Buffer.from([request.functionCode | 0x80, fault.exception])))
    }
    const answer = mbap(request, this.#pdu(request, fault === 'wrong-count' ? 1 : 0))
    if (fault === 'late') return void this.#kept.push(() => socket.write(answer))
    if (fault === 'wrong-transaction') answer.writeUInt16BE((request.transaction + 7777) & 0xffff, 0)
    if (fault === 'wrong-unit') answer[6] = (request.unitId + 1) & 0xff
    if (fault === 'wrong-byte-count') answer[8] = ((answer[8] ?? 0) + 2) & 0xff
    if (fault === 'wrong-function') answer[7] = request.functionCode === 3 ? 4 : 3
    if (fault === 'bytewise') for (const byte of answer) socket.write(Buffer.from([byte]))
    else socket.write(fault === 'twice' ? Buffer.concat([answer, answer]) : answer)
  }

  #pdu({ unitId, functionCode, start, count, values }: RawRequest, more: number): Buffer {
    if (functionCode === 16) {
      this.set(unitId, start, ...values)
      const pdu = Buffer.from([16, 0, 0, 0, 0])
      pdu.writeUInt16BE(start, 1)
      pdu.writeUInt16BE(count, 3)
      return pdu
    }
    if (functionCode <= 2) {
      const data = Buffer.alloc(Math.ceil(count / 8) + more)
      for (let bit = 0; bit < count; bit++) {
        if (this.get(unitId, start + bit)) data[bit >> 3] = (data[bit >> 3] ?? 0) | (1 << (bit & 7))
      }
      return Buffer.concat([Buffer.from([functionCode, data.length]), data])
    }
    const data = Buffer.alloc((count + more) * 2)
    for (let index = 0; index < count; index++) data.writeUInt16BE(this.get(unitId, start + index), index * 2)
    return Buffer.concat([Buffer.from([functionCode, data.length]), data])
  }
}

function mbap(request: RawRequest, pdu: Buffer): Buffer {
  const header = Buffer.alloc(7)
  header.writeUInt16BE(request.transaction, 0)
  header.writeUInt16BE(1 + pdu.length, 4)
  header[6] = request.unitId
  return Buffer.concat([header, pdu])
}
