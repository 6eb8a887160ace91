import { once } from 'node:events'
import { createServer } from 'node:net'
import { Aedes } from 'aedes'
import { serve } from './role.ts'

/** A broker for machines without Mosquitto. */
async function listen(): Promise<number> {
  const broker = await Aedes.createBroker()
  const server = createServer({ noDelay: true }, socket => {
    socket.on('error', () => socket.destroy())
    broker.handle(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return address !== null && typeof address === 'object' ? address.port : 0
}

serve({ listen })
