import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** A way to `target` on loopback that can be cut and joined again. */
export interface Cuttable {
  readonly port: number
  cut(): void
  join(): void
  stop(): Promise<void>
}

export async function openCuttable(target: number): Promise<Cuttable> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer({ noDelay: true }, near => {
    if (isCut) return near.destroy()
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => one.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const close = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    cut: () => {
      isCut = true
      close()
    },
    join: () => {
      isCut = false
    },
    stop: async () => {
      close()
      server.close()
    },
  }
}
