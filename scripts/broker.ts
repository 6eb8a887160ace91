import { timingSafeEqual } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { Aedes, type Client } from 'aedes'

/** user → password and the groups and edges it may speak for; `gateway` may command, edges may only speak for themselves */
export interface BrokerUser {
  readonly password: string
  readonly edge: { readonly group: string; readonly id: string } | null
}

export interface Broker {
  readonly port: number
  close(): Promise<void>
}

const host = '127.0.0.1'

/** The embedded broker of the demonstration: MQTT 3.1.1 on loopback, with passwords and the rights that a production broker gives. */
export async function openBroker(port: number, users: ReadonlyMap<string, BrokerUser>): Promise<Broker> {
  const broker = await Aedes.createBroker({
    // A subscriber that stops reading would stop everybody for this long.
    drainTimeout: 3000,
    authenticate: (client, username, password, done) => {
      const user = users.get(username ?? '')
      const given = Buffer.from(password ?? '')
      const wanted = Buffer.from(user?.password ?? '')
      const right = user !== undefined && given.length === wanted.length && timingSafeEqual(given, wanted)
      if (right) userOf.set(client, user)
      done(null, right)
    },
    authorizePublish: (client, packet, done) => {
      const user = client && userOf.get(client)
      done(user && mayWrite(user, packet.topic) ? null : new Error(`not allowed to publish ${packet.topic}`))
    },
  })
  const userOf = new WeakMap<Client, BrokerUser>()
  const sockets = new Set<Socket>()
  // noDelay: without it small packets wait up to 40 ms for the acknowledgement of the previous ones.
  const server = createServer({ noDelay: true }, socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    broker.handle(socket)
  })
  await listen(server, port)
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : port,
    close: async () => {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      await new Promise<void>(resolve => broker.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

function mayWrite(user: BrokerUser, topic: string): boolean {
  const [namespace, group, verb, edge] = topic.split('/')
  if (namespace !== 'spBv1.0') return false
  if (user.edge === null) return group === 'STATE' || verb === 'NCMD' || verb === 'DCMD'
  return group === user.edge.group && edge === user.edge.id && verb !== 'NCMD' && verb !== 'DCMD'
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE' ? new PenstockError('port-in-use', { port, host, option: '--broker-port' }) : error,
      ),
    )
    server.listen(port, host, resolve)
  })
}
