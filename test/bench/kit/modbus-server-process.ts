import { once } from 'node:events'
import { createServer } from 'node:net'
import { serve } from './role.ts'

/** A Modbus TCP server that costs nothing: every unit answers reads of holding registers with floats; one of them can be set. */

let everyFloat = 0
let float0: number | null = null

async function listen(): Promise<number> {
  const server = createServer({ noDelay: true }, socket => {
    socket.on('error', () => socket.destroy())
    socket.on('data', bytes => {
      const answers: Buffer[] = []
      for (let at = 0; at + 12 <= bytes.length; at += 12) answers.push(answer(bytes.subarray(at, at + 12)))
      socket.write(Buffer.concat(answers))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return address !== null && typeof address === 'object' ? address.port : 0
}

/** Every value of every answer is another one than before, except register 0 when it was set. */
function answer(request: Buffer): Buffer {
  const register = request.readUInt16BE(8)
  const count = request.readUInt16BE(10)
  const bytes = Buffer.alloc(9 + count * 2)
  request.copy(bytes, 0, 0, 4)
  bytes.writeUInt16BE(3 + count * 2, 4)
  bytes[6] = request[6] ?? 0
  bytes[7] = 3
  bytes[8] = count * 2
  everyFloat = (everyFloat + 1) % 100_000
  for (let at = 0; at + 2 <= count; at += 2) bytes.writeFloatBE(everyFloat + at / 2, 9 + at * 2)
  if (register === 0 && float0 !== null) bytes.writeFloatBE(float0, 9)
  return bytes
}

serve({
  listen,
  /** Answers with the time (ms since 1970) from which on the register has the value. */
  set: (value: number) => {
    float0 = value
    return performance.timeOrigin + performance.now()
  },
})
