import { type Control, openControl } from '@penstock/simulator/control.ts'
import { openSimulator, type Simulator } from '@penstock/simulator/simulator.ts'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ManualTime } from '../support/manual-time.ts'

let time: ManualTime
let city: Simulator
let control: Control
let stopped: Promise<void>

beforeEach(async () => {
  time = new ManualTime(Date.UTC(2026, 5, 15, 4))
  city = await openSimulator({ scenario: 'calm-day', clock: time, ticker: time })
  await new Promise<void>((opened, failed) => {
    stopped = new Promise(done => {
      openControl(city, 0, done).then(made => {
        control = made
        opened()
      }, failed)
    })
  })
})

afterEach(async () => {
  await control.close()
  await city.close()
})

async function call(method: string, path: string, body?: unknown, token = control.token): Promise<[number, unknown]> {
  const response = await fetch(`http://127.0.0.1:${control.port}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  return [response.status, await response.json()]
}

it('is for those who have the token', async () => {
  expect((await call('GET', '/truth', undefined, 'x'.repeat(32)))[0]).toBe(401)
  expect((await call('GET', '/truth', undefined, ''))[0]).toBe(401)
  expect((await call('GET', '/truth'))[0]).toBe(200)
})

it('lists devices, truth and plants', async () => {
  expect((await call('GET', '/devices'))[1]).toMatchObject({
    scenario: 'calm-day',
    sites: [{ id: 'waterworks', port: city.port('waterworks') }, {}, {}, {}],
  })
  expect((await call('GET', '/truth'))[1]).toEqual({ meters: city.truth })
  expect((await call('GET', '/plants'))[1]).toMatchObject({ sites: { 'cold-store': { tanks: { receiver: {} } } } })
})

it('starts and clears faults', async () => {
  const [status, body] = await call('POST', '/faults', { fault: { site: 'thermal', kind: 'timeout' } })
  expect([status, body]).toEqual([200, { id: 'f1' }])
  expect((await call('GET', '/faults'))[1]).toMatchObject({ faults: [{ id: 'f1', site: 'thermal', device: null }] })
  expect(await call('DELETE', '/faults/f1')).toEqual([200, { cleared: 'f1' }])
  expect((await call('DELETE', '/faults/f1'))[0]).toBe(404)
  await call('POST', '/faults', { fault: { site: 'thermal', device: 'fm-1', kind: 'nan' }, forMs: 1000 })
  expect(city.faults).toHaveLength(1)
  await time.advance(1000)
  expect(city.faults).toEqual([])
  await call('POST', '/faults', { fault: { site: 'printing', kind: 'reset' } })
  await call('DELETE', '/faults')
  expect(city.faults).toEqual([])
})

it('does what a step of a scenario does, pauses, steps and resumes', async () => {
  const leak = { site: 'waterworks', room: 'chlorine-room', mgPerSecond: 5 }
  expect(await call('POST', '/acts', { action: { leak } })).toEqual([200, { done: true }])
  expect(city.plants.waterworks?.rooms['chlorine-room']?.leakMgPerSecond).toBe(5)
  expect((await call('POST', '/step', { ms: 1000 }))[0]).toBe(404)
  expect(await call('POST', '/pause')).toEqual([200, { paused: true }])
  expect(await call('POST', '/step', { ms: 1000 })).toEqual([200, { elapsedMs: 1000 }])
  expect(await call('POST', '/resume')).toEqual([200, { paused: false }])
})

it.each([
  ['POST', '/faults', 'not json', 400],
  ['POST', '/faults', { fault: { site: 'thermal', kind: 'explode' } }, 400],
  ['POST', '/faults', { fault: { site: 'moon', kind: 'timeout' } }, 404],
  ['POST', '/acts', { action: { pump: { site: 'thermal', flow: 'x', mode: 'on' } } }, 404],
  ['POST', '/acts', { action: {} }, 404],
  ['POST', '/faults', 'x'.repeat(70_000), 413],
  ['GET', '/nothing', undefined, 404],
])('answers %s %s %j with %i and says why', async (method, path, body, status) => {
  const [found, answer] = await call(method, path, body)
  expect(found).toBe(status)
  expect((answer as { error: string }).error).not.toBe('')
})

it('stops the simulator', async () => {
  expect(await call('POST', '/stop')).toEqual([200, { stopping: true }])
  await stopped
})
