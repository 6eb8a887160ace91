import { existsSync } from 'node:fs'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'

const hint = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Penstock</title>
<h1>Penstock gateway</h1><p>The console has not been built: run <code>npm run build</code>. 控制台尚未构建。</p>
<p>The API is at <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.</p></html>`

/** Serves the built console: its files as they are, every other page address as its start page. */
export async function installConsole(app: FastifyInstance, folder: string | null): Promise<void> {
  if (folder === null || !existsSync(`${folder}/index.html`)) {
    app.get('/', async (_, reply) => reply.type('text/html; charset=utf-8').send(hint))
    return
  }
  await app.register(fastifyStatic, {
    root: folder,
    wildcard: false,
    // Names of built files contain the hash of their content; the start page names them and must be asked for each time.
    setHeaders: (reply, path) => {
      const fixed = path.includes('/assets/')
      reply.header('Cache-Control', fixed ? 'public, max-age=31536000, immutable' : 'no-cache')
    },
  })
  app.get('/*', async (request, reply) => {
    const path = request.url.split('?')[0] ?? '/'
    // Names of alarms have full stops, files that are missing must stay missing.
    const isFile = /^\/(?:(?:api|assets)\/|[^/]*\.)/.test(path)
    const isPage = !isFile && (request.headers.accept ?? '').includes('text/html')
    return isPage ? reply.sendFile('index.html') : reply.callNotFound()
  })
}
