import { Problem } from '@penstock/gateway/http/contract/problem.ts'
import { routes } from '@penstock/gateway/http/contract/routes.ts'
import { Compile } from 'typebox/compile'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { alarm, edge, startTime, TestServer, tokenOf } from './support.ts'

let server: TestServer
beforeEach(async () => {
  server = await TestServer.open()
})
afterEach(() => server.close())

const flow = 'waterworks/fm-1/flow'
const commandId = 'command-0001'

/** The body, which must be exactly what the contract says. */
async function body(response: Response, name: keyof typeof routes) {
  expect(response.status).toBe(200)
  const found: unknown = await response.json()
  const schema = (routes[name].schema.response as Record<number, object>)[200] ?? {}
  expect([...Compile(schema).Errors(found)]).toEqual([])
  return found as {
    tags?: unknown[]
    sites?: unknown[]
    edges?: unknown[]
    readings?: unknown[]
    results?: unknown[]
    next?: number | null
  }
}

async function problem(response: Response, status: number, code: string) {
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/)
  const found = await response.json()
  expect([...Compile(Problem).Errors(found)]).toEqual([])
  expect(found).toMatchObject({ status, code, type: `urn:penstock:${code}` })
  expect(response.status).toBe(status)
  return found as { detail: string }
}

describe('live values', () => {
  it('come with names, age, and the last good value when they are bad', async () => {
    server.setTag(flow, 12.5)
    server.time.jump(4_000)
    server.setTag('waterworks/fm-2/flow', 3, { at: startTime + 4000 })
    server.setTag('waterworks/fm-2/flow', 0, { quality: 'bad', at: startTime + 4000 })
    const { tags } = await body(await server.get('/api/v1/tags'), 'tags')
    expect(tags).toMatchObject([
      {
        tag: flow,
        value: 12.5,
        quality: 'good',
        ageMs: 4000,
        deviceName: { en: 'Meter 1' },
        area: 'intake',
        siteName: { zh: '水厂' },
      },
      {
        tag: 'waterworks/fm-2/flow',
        value: null,
        quality: 'bad',
        reason: 'timeout',
        lastGood: { value: 3 },
        deviceName: null,
      },
    ])
  })

  it('can be asked for by site, device and tag', async () => {
    server.setTag(flow, 1)
    server.setTag('waterworks/fm-2/flow', 2)
    server.setTag('thermal/fm-1/flow', 3)
    const tagsOf = async (query: string) => {
      const { tags } = await body(await server.get(`/api/v1/tags?${query}`), 'tags')
      return (tags as { tag: string }[]).map(one => one.tag)
    }
    expect(await tagsOf('site=waterworks')).toEqual([flow, 'waterworks/fm-2/flow'])
    expect(await tagsOf('site=waterworks&device=fm-2')).toEqual(['waterworks/fm-2/flow'])
    expect(await tagsOf('site=nowhere')).toEqual([])
    expect(await body(await server.get(`/api/v1/tags/${flow}`), 'tag')).toMatchObject({ value: 1 })
    await problem(await server.get('/api/v1/tags/waterworks/fm-1/nothing'), 404, 'not-found')
  })

  it('give 64-bit totals as text, to the last digit', async () => {
    const total = 'waterworks/fm-1/total'
    const declaration = {
      tag: total,
      type: 'Int64',
      class: 'total',
      unit: 'm3',
      scanMs: 5000,
      deadband: null,
      heartbeatMs: 60_000,
      resolution: '0.001',
      modulus: '4294967296000',
    } as const
    server.live.declare('320706/e01', 'waterworks:fm-1', declaration, startTime, true)
    const reading = {
      tag: total,
      type: 'Int64',
      value: 9_007_199_254_740_993n,
      quality: 'good',
      reason: null,
      sourceTimestamp: startTime,
    } as const
    server.live.update('320706/e01', reading, startTime, true)
    expect(await body(await server.get(`/api/v1/tags/${total}`), 'tag')).toMatchObject({
      value: '9007199254740993',
      resolution: '0.001',
    })
  })
})

describe('places', () => {
  it('lists sites with their devices, counts and open alarms', async () => {
    server.setTag(flow, 1)
    server.alarms.alarms.set('leak@waterworks/cl2-1/concentration', alarm('leak@waterworks/cl2-1/concentration'))
    server.alarms.alarms.set('old', alarm('old', { state: 'NORMAL', active: false, acknowledged: true }))
    const { sites } = await body(await server.get('/api/v1/sites'), 'sites')
    expect(sites).toMatchObject([
      {
        id: 'waterworks',
        kind: 'water',
        openAlarms: 1,
        tags: { good: 1, bad: 0 },
        devices: [{ id: 'fm-1', online: true, edge: '320706/e01' }],
      },
    ])
  })

  it('shows why a device is bad', async () => {
    server.setTag(flow, 1)
    server.live.setDiagnosis('320706/e01', 'waterworks:fm-1', {
      address: 'modbus tcp 127.0.0.1:1502 unit 1',
      state: 'failing',
      since: startTime,
      lastRequest: { at: startTime, what: 'read 0-9', hex: '0103' },
      lastAnswer: null,
      lastError: { at: startTime, reason: 'timeout', text: 'no answer in 500 ms' },
      nextTryAt: null,
      counters: { requests: 7 },
    })
    expect(await body(await server.get('/api/v1/devices/waterworks/fm-1'), 'device')).toMatchObject({
      online: true,
      edge: { edge: '320706/e01' },
      diagnosis: { lastError: { reason: 'timeout' }, counters: { requests: 7 } },
      inhibit: null,
      tags: [{ tag: flow }],
    })
    await problem(await server.get('/api/v1/devices/waterworks/fm-99'), 404, 'not-found')
  })

  it('lists edges, also registered ones that were never seen', async () => {
    const { edges } = await body(await server.get('/api/v1/edges'), 'edges')
    expect(edges).toMatchObject([
      { edge: '320706/e01', online: true, groupName: { en: 'Haizhou' } },
      { edge: '320706/e02', online: false, registered: true },
    ])
  })
})

describe('history', () => {
  beforeEach(async () => {
    const readings = Array.from({ length: 20 }, (_, index) => ({
      tag: flow,
      type: 'Double' as const,
      value: index === 3 ? null : index / 2,
      quality: index === 3 ? ('bad' as const) : ('good' as const),
      reason: index === 3 ? ('timeout' as const) : null,
      sourceTimestamp: startTime + index * 1000,
    }))
    const entry = {
      kind: 'batch',
      edge: 'e',
      epoch: '1',
      class: 'raw',
      from: 0,
      pos: 0,
      crc: 0,
      receivedAt: 0,
      skewMs: 0,
      live: true,
      readings,
    } as const
    await server.historian.apply([{ position: 0, entry }])
  })

  it('comes in pages', async () => {
    const query = `tag=${flow}&from=${startTime}&to=${startTime + 20_000}`
    const first = await body(await server.get(`/api/v1/readings?${query}&limit=15`), 'readings')
    expect(first).toMatchObject({ tag: flow, next: startTime + 15_000 })
    expect(first.readings).toHaveLength(15)
    const second = await body(
      await server.get(`/api/v1/readings?tag=${flow}&from=${first.next}&to=${startTime + 20_000}`),
      'readings',
    )
    expect(second.readings).toHaveLength(5)
    expect(second.next).toBeNull()
  })

  it('comes as CSV', async () => {
    const response = await server.get(`/api/v1/readings.csv?tag=${flow}&from=${startTime}&to=${startTime + 5_000}`)
    expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8')
    expect(response.headers.get('content-disposition')).toContain('waterworks_fm-1_flow.csv')
    const bytes = new Uint8Array(await response.arrayBuffer())
    expect([...bytes.subarray(0, 3)]).toEqual([0xef, 0xbb, 0xbf])
    const lines = new TextDecoder().decode(bytes).split('\r\n')
    expect(lines).toHaveLength(7)
    expect(lines[2]).toBe('2026-11-21T12:00:01.000Z,0.5,good,')
    expect(lines[4]).toBe('2026-11-21T12:00:03.000Z,,bad,timeout')
  })

  it('does not hand formulas to spreadsheets', async () => {
    const reading = {
      tag: 'waterworks/fm-1/note',
      type: 'String',
      value: '=cmd|"x"',
      quality: 'good',
      reason: null,
      sourceTimestamp: startTime,
    } as const
    await server.historian.apply([
      { position: 1, entry: { kind: 'live', edge: 'e', receivedAt: 0, skewMs: 0, readings: [reading] } },
    ])
    const response = await server.get(
      `/api/v1/readings.csv?tag=waterworks/fm-1/note&from=${startTime}&to=${startTime + 1}`,
    )
    expect((await response.text()).split('\r\n')[1]).toBe(`2026-11-21T12:00:00.000Z,"'=cmd|""x""",good,`)
  })

  it('comes by minute', async () => {
    const trend = await body(
      await server.get(`/api/v1/trend?tag=${flow}&from=${startTime}&to=${startTime + 60_000}&step=1m`),
      'trend',
    )
    expect(trend).toMatchObject({
      stepMs: 60_000,
      buckets: [{ start: startTime, count: 19, min: 0, max: 9.5, last: 9.5 }],
    })
  })

  it('refuses a query that makes no sense', async () => {
    await problem(await server.get(`/api/v1/readings?tag=${flow}&from=x&to=5`), 400, 'request-invalid')
    await problem(await server.get(`/api/v1/readings?tag=${flow}&from=1`), 400, 'request-invalid')
    await problem(await server.get(`/api/v1/readings?tag=${flow}&from=1&to=2&limt=3`), 400, 'request-invalid')
    await problem(await server.get('/api/v1/readings?tag=a/..%2F/c&from=1&to=2'), 400, 'request-invalid')
    await problem(await server.get('/api/v1/readings?tag=a/!/c&from=1&to=2'), 400, 'bad-tag')
  })
})

describe('commands', () => {
  const id = 'cl2-leak@waterworks/cl2-1/concentration'
  const path = `/api/v1/alarms/${encodeURIComponent(id)}`
  beforeEach(() => {
    server.alarms.alarms.set(id, alarm(id))
  })

  it('carry what the operator saw and who it was', async () => {
    const response = await server.post(
      `${path}/acknowledge`,
      { occ: 2, ann: 1, commandId, comment: '已派人' },
      tokenOf('operator'),
    )
    expect(await body(response, 'acknowledge')).toMatchObject({
      status: 'done',
      actor: 'token:operator-t',
      alarm: { id },
    })
    expect(server.alarms.commands).toEqual([
      {
        command: { type: 'acknowledge', alarm: id, occ: 2, ann: 1, comment: '已派人' },
        actor: 'token:operator-t',
        commandId,
      },
    ])
  })

  it('are asked for by name: the alarm, also one that is over, or 404', async () => {
    server.alarms.alarms.set(id, alarm(id, { state: 'NORMAL', active: false }))
    expect(await body(await server.get(path), 'alarm')).toMatchObject({ id, state: 'NORMAL' })
    await problem(await server.get('/api/v1/alarms/nothing'), 404, 'not-found')
  })

  it('answer 409 with the present state when the alarm was announced anew', async () => {
    server.alarms.outcome = { status: 'moved', occ: 3, ann: 2 }
    const found = await problem(
      await server.post(`${path}/acknowledge`, { occ: 2, ann: 1, commandId }),
      409,
      'alarm-moved',
    )
    expect(found).toMatchObject({ details: { occ: 3, ann: 2 } })
  })

  it('answer 404 for an alarm that nobody knows, 409 for what is refused', async () => {
    server.alarms.outcome = { status: 'unknown' }
    await problem(
      await server.post('/api/v1/alarms/nothing/acknowledge', { occ: 1, ann: 1, commandId }),
      404,
      'not-found',
    )
    server.alarms.outcome = { status: 'refused', reason: 'active', text: 'its condition still lasts' }
    const refused = await problem(await server.post(`${path}/reset`, { occ: 2, commandId }), 409, 'command-refused')
    expect(refused).toMatchObject({ detail: 'not done: its condition still lasts', details: { reason: 'active' } })
    server.alarms.outcome = { status: 'id-used' }
    await problem(await server.post(`${path}/reset`, { occ: 2, commandId }), 409, 'command-id-used')
  })

  it('inhibit a device for as long as the rules allow', async () => {
    const inhibit = (until: number) =>
      server.post('/api/v1/devices/waterworks/cl2-1/inhibit', { until, reason: 'calibration', commandId })
    server.alarms.outcome = { status: 'inhibit-too-long', limit: '4h' }
    const { detail } = await problem(await inhibit(startTime + 9 * 3_600_000), 422, 'inhibit-too-long')
    expect(detail).toContain('at most 4h after it began')
    server.alarms.outcome = { status: 'done' }
    server.alarms.commands.length = 0
    await body(await inhibit(startTime + 8 * 3_600_000), 'inhibit')
    await body(await server.post('/api/v1/devices/waterworks/cl2-1/end-inhibit', { commandId }), 'endInhibit')
    expect(server.alarms.commands.map(one => one.command)).toEqual([
      { type: 'inhibit', device: 'waterworks/cl2-1', until: startTime + 8 * 3_600_000, reason: 'calibration' },
      { type: 'end-inhibit', device: 'waterworks/cl2-1' },
    ])
  })

  it('adopt an edge once, whatever the number of clicks', async () => {
    server.edges.push(edge('e77', { registered: false, problem: 'unknown-edge' }))
    const adopt = (hardwareId: string) => server.post('/api/v1/edges/320706/e77/adopt', { commandId, hardwareId })
    expect(await body(await adopt('box-e77'), 'adopt')).toMatchObject({ registered: true, problem: null })
    await body(await adopt('box-e77'), 'adopt')
    expect(server.adopted).toEqual(['320706/e77'])
    expect(await server.store.adoption(commandId)).toMatchObject({ edge: '320706/e77', actor: 'token:admin-t' })
    await problem(await adopt('another-box'), 409, 'command-id-used')
    await problem(
      await server.post('/api/v1/edges/320706/e99/adopt', { commandId: 'command-0002', hardwareId: null }),
      404,
      'not-found',
    )
  })

  it('reload the configuration and say what came of it', async () => {
    const { results } = await body(await server.post('/api/v1/reload', undefined), 'reload')
    expect(results).toMatchObject([{ what: 'registry', status: 'unchanged' }, { what: 'rules' }, { what: 'users' }])
  })
})

describe('bodies', () => {
  const path = '/api/v1/alarms/a/acknowledge'
  it.each([
    ['a number as text', { occ: '1', ann: 1, commandId }],
    ['a field that nobody knows', { occ: 1, ann: 1, commandId, operator: 'wang' }],
    ['a missing field', { occ: 1, commandId }],
    ['true for a number', { occ: true, ann: 1, commandId }],
    ['a short command id', { occ: 1, ann: 1, commandId: 'x' }],
    ['an array', [1]],
    ['null', null],
  ])('with %s are refused, not mended', async (_, wrong) => {
    await problem(await server.post(path, wrong), 400, 'request-invalid')
    expect(server.alarms.commands).toEqual([])
  })

  it('must be JSON, and not too large', async () => {
    const send = (type: string, text: string) =>
      fetch(`${server.url}${path}`, {
        method: 'POST',
        headers: { 'Content-Type': type, Authorization: `Bearer ${server.apiToken}` },
        body: text,
      })
    await problem(await send('text/plain', '{"occ":1}'), 415, 'not-json')
    await problem(await send('application/x-www-form-urlencoded', 'occ=1'), 415, 'not-json')
    await problem(await send('application/json', '{"occ":'), 400, 'request-invalid')
    await problem(await send('application/json', `{"comment":"${'x'.repeat(70_000)}"}`), 413, 'too-large')
  })
})

describe('status', () => {
  it('says ready, or why not', async () => {
    expect(await (await server.get('/health/live', null)).json()).toEqual({ status: 'ok' })
    await body(await server.get('/health/ready', null), 'ready')
    server.readiness.storage = 'the disk is full'
    const response = await server.get('/health/ready', null)
    expect(response.status).toBe(503)
    expect(await response.json()).toEqual({
      ready: false,
      checks: [
        { name: 'broker', ok: true, detail: null },
        { name: 'storage', ok: false, detail: 'the disk is full' },
      ],
    })
  })

  it('shows the configuration in effect', async () => {
    expect(await body(await server.get('/api/v1/status'), 'status')).toMatchObject({
      hostId: 'penstock',
      config: [{ what: 'registry', problem: null }, { what: 'rules' }, { what: 'users' }],
    })
  })

  it('answers an unknown address as a problem', async () => {
    await problem(await server.get('/api/v1/nothing'), 404, 'not-found')
    await problem(await server.post('/api/v1/tags', {}), 404, 'not-found')
  })

  it('does not tell a client what went wrong inside', async () => {
    server.alarms.list = () => {
      throw new Error('secret: hunter2')
    }
    const found = await problem(await server.get('/api/v1/alarms'), 500, 'internal')
    expect(JSON.stringify(found)).not.toContain('hunter2')
  })
})
