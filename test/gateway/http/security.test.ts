import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { hashPassword, passwordFits } from '@penstock/gateway/http/auth/password.ts'
import { hashSecret } from '@penstock/gateway/http/auth/token.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { password, TestServer, tokenOf } from './support.ts'

let server: TestServer
beforeEach(async () => {
  server = await TestServer.open()
})
afterEach(() => server.close())

const codeOf = async (response: Response) => ((await response.json()) as { code: string }).code

/** A request with headers that fetch would not let through. */
function raw(
  method: string,
  path: string,
  headers: Record<string, string>,
  body = '',
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(`${server.url}${path}`, { method, headers }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

async function cookieOf(response: Response): Promise<string> {
  return (response.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
}

const signIn = (user: string, secret = password) =>
  fetch(`${server.url}/api/v1/sign-in`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ user, password: secret }),
  })

describe('host names', () => {
  it('other than the known ones are refused: a rebound name reads nothing', async () => {
    const bearer = { Authorization: `Bearer ${tokenOf('admin')}` }
    for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example:80']) {
      const { status, body } = await raw('GET', '/api/v1/tags', { host, ...bearer })
      expect(status, host).toBe(403)
      expect(JSON.parse(body)).toMatchObject({ code: 'host-refused' })
    }
    for (const host of ['localhost', 'LOCALHOST:8080', '127.0.0.1:1', '[::1]:8080', 'scada.example', 'water.example']) {
      expect((await raw('GET', '/api/v1/tags', { host, ...bearer })).status, host).toBe(200)
    }
    expect((await raw('GET', '/health/live', { host: 'evil.example' })).status).toBe(403)
  })
})

describe('pages of other sites', () => {
  it('cannot act, even with the cookie of the operator', async () => {
    const cookie = await cookieOf(await signIn('operator-1'))
    const path = '/api/v1/alarms/a/acknowledge'
    const body = JSON.stringify({ occ: 1, ann: 1, commandId: 'command-0001' })
    const { host } = new URL(server.url)
    const send = (headers: Record<string, string>) =>
      raw('POST', path, { cookie, 'content-type': 'application/json', ...headers }, body)
    for (const origin of ['https://evil.example', 'null', 'http://localhost:1', `https://${host}.evil.example`]) {
      const answer = await send({ origin })
      expect(answer.status, origin).toBe(403)
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'origin-refused' })
    }
    // No browser leaves the origin of a POST out.
    expect((await send({})).status).toBe(403)
    expect(server.alarms.commands).toEqual([])
    expect((await send({ origin: server.url })).status).toBe(200)
    expect(server.alarms.commands).toMatchObject([{ actor: 'operator-1' }])
    // A proxy that passes another Host on: the public address is ours all the same.
    expect((await send({ origin: 'https://water.example' })).status).toBe(200)
    expect((await send({ origin: 'http://water.example' })).status).toBe(403)
  })

  it('cannot read', async () => {
    const cookie = await cookieOf(await signIn('viewer-1'))
    expect((await raw('GET', '/api/v1/tags', { cookie })).status).toBe(200)
    expect((await raw('GET', '/api/v1/tags', { cookie, origin: 'https://evil.example' })).status).toBe(403)
    expect((await raw('GET', '/api/v1/events', { cookie, 'sec-fetch-site': 'cross-site' })).status).toBe(403)
  })

  it('cannot frame the console or run scripts in it', async () => {
    const { headers } = await server.get('/', null)
    expect(headers.get('content-security-policy')).toMatch(/default-src 'self'.*frame-ancestors 'none'/)
    expect(headers.get('content-security-policy')).not.toMatch(/script-src|unsafe-eval/)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('strict-transport-security')).toBeNull()
  })
})

describe('sessions', () => {
  it('begin with name and password, in a cookie that scripts cannot read, and end by signing out', async () => {
    const response = await signIn('engineer-1')
    expect(response.status).toBe(200)
    expect(await response.clone().json()).toMatchObject({ id: 'engineer-1', role: 'engineer', via: 'session' })
    const header = response.headers.get('set-cookie') ?? ''
    expect(header).toMatch(/HttpOnly/)
    expect(header).toMatch(/SameSite=Strict/)
    const cookie = await cookieOf(response)
    const me = () => raw('GET', '/api/v1/me', { cookie })
    expect(JSON.parse((await me()).body)).toMatchObject({ id: 'engineer-1' })
    expect((await raw('POST', '/api/v1/sign-out', { cookie, origin: server.url })).status).toBe(204)
    expect((await me()).status).toBe(401)
  })

  it('end after 12 hours, and at once when the user is removed', async () => {
    const cookie = await cookieOf(await signIn('viewer-1'))
    const me = async () => (await raw('GET', '/api/v1/me', { cookie })).status
    server.time.jump(12 * 3_600_000 - 1)
    expect(await me()).toBe(200)
    const users = join(server.folder, 'users.yaml')
    const text = readFileSync(users, 'utf8')
    writeFileSync(users, text.replace(/.*viewer-1.*\n/, ''))
    await server.configuration.reload()
    expect(await me()).toBe(401)
    writeFileSync(users, text)
    await server.configuration.reload()
    expect(await me()).toBe(200)
    server.time.jump(1)
    expect(await me()).toBe(401)
  })

  it('do not begin with a wrong password, a wrong name, or too many attempts', async () => {
    expect(await codeOf(await signIn('viewer-1', 'wrong'))).toBe('sign-in-failed')
    expect(await codeOf(await signIn('nobody'))).toBe('sign-in-failed')
    expect(await codeOf(await signIn('__proto__'))).toBe('sign-in-failed')
    for (let attempt = 0; attempt < 7; attempt++) await signIn('viewer-1', '')
    const refused = await signIn('viewer-1')
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await codeOf(refused)).toBe('too-many-requests')
  })

  it('are kept as hashes only', async () => {
    const cookie = await cookieOf(await signIn('viewer-1'))
    const secret = cookie.split('=')[1] ?? ''
    expect(secret.length).toBeGreaterThan(40)
    expect(await server.store.session(hashSecret(secret), 0)).toMatchObject({ user: 'viewer-1' })
    expect(readFileSync(join(server.folder, 'store.sqlite-wal')).includes(secret)).toBe(false)
  })
})

describe('the sign-in address', () => {
  it('works once', async () => {
    const address = server.server.signIn ?? ''
    expect(address).toMatch(/\/sign-in\?code=[\w-]{40,}$/)
    const first = await fetch(address, { redirect: 'manual' })
    expect(first.status).toBe(303)
    expect(first.headers.get('location')).toBe('/')
    const cookie = await cookieOf(first)
    expect(JSON.parse((await raw('GET', '/api/v1/me', { cookie })).body)).toMatchObject({ id: '@local', role: 'admin' })
    expect(await codeOf(await fetch(address, { redirect: 'manual' }))).toBe('sign-in-failed')
  })

  it('is over after 10 minutes', async () => {
    server.time.jump(600_000)
    const late = await fetch(server.server.signIn ?? '', { redirect: 'manual' })
    expect(late.status).toBe(401)
    expect(late.headers.get('set-cookie')).toBeNull()
    server.time.jump(-600_000)
    expect((await fetch(server.server.signIn ?? '', { redirect: 'manual' })).status).toBe(401)
  })

  it('is not made unless asked for, and a wrong code opens nothing', async () => {
    const quiet = await TestServer.open({ http: { printSignIn: false } })
    expect(quiet.server.signIn).toBeNull()
    expect((await quiet.get('/sign-in?code=', null)).status).toBe(400)
    expect((await quiet.get('/sign-in?code=x', null)).status).toBe(401)
    await quiet.close()
  })
})

describe('tokens', () => {
  it('for scripts are made once, readable by the owner alone', async () => {
    const path = join(server.folder, 'api-token')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const me = await server.get('/api/v1/me', server.apiToken)
    expect(await me.json()).toMatchObject({ id: 'token:api', role: 'admin', via: 'token' })
  })

  it('of users.yaml have the role given there', async () => {
    expect(await (await server.get('/api/v1/me', tokenOf('operator'))).json()).toMatchObject({
      id: 'token:operator-t',
      role: 'operator',
    })
    expect((await raw('GET', '/api/v1/me', { authorization: 'Basic YTpi' })).status).toBe(401)
    const refused = await server.get('/api/v1/me', null)
    expect(refused.headers.get('www-authenticate')).toBe('Bearer')
  })

  it('are not accepted in an address, where logs would keep them', async () => {
    expect((await server.get(`/api/v1/me?token=${tokenOf('admin')}`, null)).status).toBe(401)
  })
})

describe('passwords', () => {
  it('fit their own hash only', async () => {
    const stored = await hashPassword('密码 one')
    expect(stored).toMatch(/^scrypt\$32768\$8\$1\$/)
    expect(await passwordFits('密码 one', stored)).toBe(true)
    expect(await passwordFits('密码 two', stored)).toBe(false)
    expect(await passwordFits('x', 'scrypt$99999999$8$1$aa$bb')).toBe(false)
    expect(await passwordFits('', null)).toBe(false)
  })
})

describe('metrics', () => {
  it('are given to the machine itself without a token', async () => {
    const response = await server.get('/metrics', null)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/)
  })

  it('need a token behind a proxy, where everything comes from loopback', async () => {
    const proxied = await TestServer.open({ http: { behindProxy: { address: '127.0.0.1' } } })
    expect((await proxied.get('/metrics', null)).status).toBe(401)
    expect((await proxied.get('/metrics')).status).toBe(200)
    const signedIn = await proxied.get(
      new URL(proxied.server.signIn ?? '').pathname + new URL(proxied.server.signIn ?? '').search,
      null,
    )
    expect(signedIn.headers.get('set-cookie')).toMatch(/Secure/)
    await proxied.close()
  })
})

describe('the server', () => {
  it('says which port is taken', async () => {
    const port = Number(new URL(server.url).port)
    await expect(TestServer.open({ http: { port } })).rejects.toMatchObject({ code: 'port-in-use', details: { port } })
  })

  it('serves the console, and its start page for every page address', async () => {
    const folder = join(server.folder, 'dist')
    mkdirSync(join(folder, 'assets'), { recursive: true })
    writeFileSync(join(folder, 'index.html'), '<title>console</title>')
    writeFileSync(join(folder, 'assets/a-1.js'), 'void 0')
    const served = await TestServer.open({ consoleFolder: folder })
    const page = { accept: 'text/html' }
    expect(await (await served.get('/', null, page)).text()).toContain('console')
    expect(await (await served.get('/sites/waterworks', null, page)).text()).toContain('console')
    expect((await served.get('/assets/a-1.js', null)).headers.get('cache-control')).toMatch(/immutable/)
    expect((await served.get('/assets/b-2.js', null, page)).status).toBe(404)
    expect((await served.get('/robots.txt', null, page)).status).toBe(404)
    expect(await (await served.get('/alarms/cl2.leak%40s%3Ad%3At.x', null, page)).text()).toContain('console')
    expect((await served.get('/api/v1/nothing', null, page)).status).toBe(404)
    for (const path of ['/../users.yaml', '/%2e%2e/users.yaml', '/..%2fusers.yaml']) {
      expect((await rawPath(served.url, path)).includes('scrypt'), path).toBe(false)
    }
    await served.close()
  })

  it('says how to get a console when there is none', async () => {
    expect(await (await server.get('/', null)).text()).toMatch(/npm run build/)
  })

  it('closes although clients hold connections open', async () => {
    const closing = await TestServer.open()
    const socket = connect(Number(new URL(closing.url).port), '127.0.0.1')
    await new Promise(resolve => socket.once('connect', resolve))
    socket.on('error', () => {})
    await closing.close()
    socket.destroy()
  })
})

/** A path as it is, without the normalisation of fetch. */
function rawPath(url: string, path: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, path, headers: { accept: 'text/html' } }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    })
    sent.on('error', reject)
    sent.end()
  })
}
