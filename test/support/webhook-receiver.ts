import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'

export interface ReceivedHook {
  readonly body: string
  readonly signature: string
  readonly delivery: string
}

/** A receiver of signed alarm messages, as a duty room would run it. */
export async function openWebhookReceiver(): Promise<{
  url: string
  received: ReceivedHook[]
  close(): Promise<void>
}> {
  const received: ReceivedHook[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += String(chunk)
    })
    request.on('end', () => {
      received.push({
        body,
        signature: String(request.headers['penstock-signature']),
        delivery: String(request.headers['penstock-delivery']),
      })
      response.writeHead(204).end()
    })
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/hook`,
    received,
    close: () => {
      server.closeAllConnections()
      return new Promise(done => server.close(() => done()))
    },
  }
}

/** Whether `t=…,v1=…` signs the body with the secret. */
export function signatureIsRight(hook: ReceivedHook, secret: string): boolean {
  const parts = new Map(hook.signature.split(',').map(part => part.split('=') as [string, string]))
  const wanted = createHmac('sha256', secret)
    .update(`${parts.get('t')}.${hook.body}`)
    .digest('hex')
  return parts.get('v1') === wanted
}
