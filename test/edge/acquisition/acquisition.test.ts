import type { Acquisition } from '@penstock/edge/acquisition/acquisition.ts'
import type { SiteFile } from '@penstock/edge/config/site-file.ts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ManualTime } from '../../support/manual-time.ts'
import { RawModbus } from '../../support/raw-modbus.ts'
import { open, profileOf, quiet, Recorder, siteOf } from './kit.ts'

const start = Date.parse('2026-11-21T07:59:30Z')
const timeoutMs = 500
let server: RawModbus
let time: ManualTime
let sink: Recorder
let acquisition: Acquisition

beforeEach(async () => {
  server = await RawModbus.open()
  time = new ManualTime(start)
  sink = new Recorder()
})

afterEach(async () => {
  await acquisition.close()
  await server.close()
  expect(time.pending, 'no timer is left').toBe(0)
})

const title = { zh: '测试', en: 'test' }

/** Three values, one alarm value and one total; a fault bit rules the value. */
const meter = profileOf({
  profile: 'meter',
  title,
  source: 'made for the test',
  confidence: 'own',
  driver: 'modbus',
  modbus: {},
  tags: [
    { name: 'flow', title, register: 0, type: 'i16', unit: 'm3/h', scan: 'fast', deadband: 5, heartbeatMs: 60_000 },
    { name: 'gas', title, register: 1, type: 'u16', unit: 'ppm', class: 'alarm', scan: 'fast', deadband: 5 },
    { name: 'fault', title, register: 2, type: 'bool', scan: 'slow' },
    {
      name: 'total',
      title,
      total: { integer: { register: 4, type: 'u32' }, fraction: { register: 6, type: 'f32' } },
      unit: 'm3',
      resolution: '0.001',
      class: 'total',
      scan: 'slow',
      heartbeatMs: 3_600_000,
    },
  ],
  rules: [{ when: { tag: 'fault', is: true }, set: { quality: 'bad', reason: 'device-fault' }, tags: ['flow'] }],
})

const devices = (...unitIds: number[]): object[] =>
  unitIds.map(unitId => ({ site: 'w', id: `m-${unitId}`, channel: 'c', unitId, profile: 'meter' }))

const site = (unitIds: number[], channel: object = {}): SiteFile =>
  siteOf(
    {
      channels: [{ id: 'c', driver: 'modbus', host: '127.0.0.1', port: server.port, timeoutMs, ...channel }],
      devices: devices(...unitIds),
      scanClasses: { fast: 1000, slow: 5000 },
    },
    [meter],
  )

async function begin(file: SiteFile): Promise<void> {
  acquisition = await open(file, { clock: time, ticker: time, sink })
  acquisition.start()
  await expect.poll(() => server.connections).toBeGreaterThan(0)
  await expect.poll(() => server.requests.length).toBeGreaterThan(0)
  await quiet(acquisition, silent)
}

let silent: string[] = []
beforeEach(() => {
  silent = []
})

/** Lets time pass in steps, with all answers in between. */
async function pass(ms: number, step = 100): Promise<void> {
  for (let passed = 0; passed < ms; passed += step) {
    await time.advance(step)
    await quiet(acquisition, silent)
  }
}

const last = (tag: string) => {
  const reading = sink.readingsOf(tag).at(-1)
  return reading && [reading.value, reading.quality, reading.reason]
}

describe('what is reported', () => {
  test('each scan class in one batch, every tag once, then only changes; totals with every count', async () => {
    server.set(1, 0, 100, 7, 0, 0, 0x0012, 0xd687, 0x3e80, 0)
    await begin(site([1]))
    await pass(1000)
    expect(sink.batches.map(batch => [batch.class, batch.readings.map(reading => reading.tag)])).toEqual(
      expect.arrayContaining([
        ['raw', expect.arrayContaining(['w/m-1/flow'])],
        ['alarm', ['w/m-1/gas']],
        ['total', ['w/m-1/total']],
      ]),
    )
    for (const { readings, class: deliveryClass } of sink.batches) {
      const described = acquisition.devices[0]?.tags ?? []
      for (const { tag } of readings)
        expect(described.find(({ name }) => tag.endsWith(`/${name}`))?.class).toBe(deliveryClass)
    }
    expect(last('w/m-1/total')).toEqual([1_234_567_250n, 'good', null])
    const before = sink.batches.length
    await pass(5000)
    expect(sink.batches.length).toBe(before)
    // less than half a count: the same count
    server.set(1, 6, 0x3e80, 0x0100)
    server.set(1, 0, 104)
    await pass(5000)
    // without limits known every change counts, so does every count of a total
    expect(last('w/m-1/flow')).toEqual([104, 'good', null])
    expect(last('w/m-1/total')).toEqual([1_234_567_250n, 'good', null])
    server.set(1, 6, 0x3f00, 0)
    await pass(5000)
    expect(last('w/m-1/total')).toEqual([1_234_567_500n, 'good', null])
  })

  test('a deadband holds only when the limits are known, and never over a limit', async () => {
    server.set(1, 0, 100, 28)
    await begin(site([1]))
    acquisition.setAlarmLimits(new Map([['w/m-1/gas', [25, 30]]]))
    await pass(1000)
    server.set(1, 0, 104, 29)
    await pass(2000)
    expect([last('w/m-1/flow'), last('w/m-1/gas')]).toEqual([
      [100, 'good', null],
      [28, 'good', null],
    ])
    server.set(1, 0, 105, 30)
    await pass(2000)
    expect([last('w/m-1/flow'), last('w/m-1/gas')]).toEqual([
      [105, 'good', null],
      [30, 'good', null],
    ])
    acquisition.setAlarmLimits(null)
    server.set(1, 0, 106)
    await pass(2000)
    expect(last('w/m-1/flow')).toEqual([106, 'good', null])
  })

  test('an unchanged value again at its heartbeat', async () => {
    server.set(1, 0, 100)
    await begin(site([1]))
    await pass(58_000, 500)
    expect(sink.readingsOf('w/m-1/flow')).toHaveLength(1)
    await pass(4000, 500)
    expect(sink.readingsOf('w/m-1/flow')).toHaveLength(2)
  })

  test('a quality rule makes its tags bad in the same scan as its condition', async () => {
    server.set(1, 0, 100, 0, 0)
    await begin(site([1]))
    await pass(1000)
    expect(last('w/m-1/flow')).toEqual([100, 'good', null])
    server.set(1, 0, 200, 0, 1)
    await pass(1000)
    expect(last('w/m-1/flow')).toEqual([null, 'bad', 'device-fault'])
    expect(sink.readingsOf('w/m-1/flow').map(reading => reading.value)).not.toContain(200)
    server.set(1, 2, 0)
    await pass(1000)
    expect(last('w/m-1/flow')).toEqual([200, 'good', null])
  })

  test('before the first scan everything is bad, not read', async () => {
    acquisition = await open(site([1]), { clock: time, ticker: time, sink })
    expect(acquisition.current('w:m-1').map(reading => [reading.value, reading.quality, reading.reason])).toEqual(
      Array.from({ length: 4 }, () => [null, 'bad', 'not-read']),
    )
    expect(acquisition.isOnline('w:m-1')).toBe(true)
  })
})

describe('the full hour', () => {
  test('totals are read at the hour, stamped with it and reported although unchanged', async () => {
    server.set(1, 4, 0, 10, 0x3f00, 0)
    await begin(site([1]))
    await pass(30_000, 500)
    const stamps = sink.readingsOf('w/m-1/total').map(reading => new Date(reading.sourceTimestamp).toISOString())
    expect(stamps).toHaveLength(2)
    expect(stamps[1]).toBe('2026-11-21T08:00:00.000Z')
    expect(last('w/m-1/total')).toEqual([10_500n, 'good', null])
  })

  test('an answer within a second is the index at the hour', async () => {
    server.set(1, 4, 0, 10, 0x3f00, 0)
    await begin(site([1], { timeoutMs: 5000 }))
    await pass(29_900)
    server.fault = request => (request.start === 4 ? 'late' : null)
    await time.advance(100)
    await expect.poll(() => server.requests.at(-1)?.start).toBe(4)
    await time.advance(300)
    server.fault = () => null
    server.release()
    await quiet(acquisition)
    expect(sink.readingsOf('w/m-1/total').at(-1)?.sourceTimestamp).toBe(start + 30_000)
  })

  test('an answer that comes too late has its own stamp, and stamps of a total never go back', async () => {
    server.set(1, 4, 0, 10, 0x3f00, 0)
    await begin(site([1], { timeoutMs: 5000 }))
    await pass(29_900)
    const hour = start + 30_000
    server.fault = request => (request.start === 4 && request.count === 4 && time.now() >= hour ? 'late' : null)
    await time.advance(100)
    await expect.poll(() => server.requests.at(-1)?.count).toBe(4)
    await time.advance(1500)
    server.fault = () => null
    server.release()
    await quiet(acquisition)
    await pass(10_000)
    const stamps = sink.readingsOf('w/m-1/total').map(reading => reading.sourceTimestamp)
    expect(stamps).toContain(hour + 1500)
    expect(stamps).toEqual([...stamps].sort((a, b) => a - b))
  })
})

describe('a device that does not answer', () => {
  test('bad readings with the reason come first, then the device is offline; back, its new values are there before it is online', async () => {
    server.set(1, 0, 100, 7)
    await begin(site([1, 2]))
    await pass(5000)
    sink.story.length = 0
    server.fault = request => (request.unitId === 1 ? 'silent' : null)
    silent = ['w:m-1']
    await pass(5000)
    expect(last('w/m-1/flow')).toEqual([null, 'bad', 'timeout'])
    expect(last('w/m-1/total')).toEqual([null, 'bad', 'timeout'])
    const own = sink.story.filter(line => line.includes('m-1'))
    expect(own.indexOf('offline w:m-1')).toBe(own.length - 1)
    expect(own.filter(line => line === 'offline w:m-1')).toHaveLength(1)
    expect(own.length).toBeGreaterThan(3)
    expect(acquisition.isOnline('w:m-1')).toBe(false)
    expect(acquisition.isOnline('w:m-2')).toBe(true)
    const diagnosis = acquisition.diagnosis('w:m-1')
    expect(diagnosis.state).toBe('open')
    expect(diagnosis.lastError).toMatchObject({ reason: 'timeout', text: 'no answer within 500 ms' })
    expect(diagnosis.nextTryAt).toBeGreaterThan(start)

    sink.story.length = 0
    server.fault = () => null
    server.set(1, 0, 321)
    let atBirth: unknown
    sink.onState = () => {
      atBirth = acquisition.current('w:m-1').find(reading => reading.tag === 'w/m-1/flow')?.value
    }
    silent = []
    await pass(40_000, 500)
    expect(sink.story.filter(line => line.includes('m-1'))[0]).toBe('online w:m-1')
    expect(atBirth).toBe(321)
    expect(last('w/m-1/total')).toEqual([0n, 'good', null])
    expect(acquisition.diagnosis('w:m-1').state).toBe('ok')
  })

  test('a dead unit costs one probe per back-off and moves no other unit by more than its time-out', async () => {
    server.fault = request => (request.unitId === 3 ? 'silent' : null)
    silent = ['w:m-3']
    const asked: { unitId: number; at: number }[] = []
    server.onRead = ({ unitId }) => asked.push({ unitId, at: time.now() })
    await begin(site([1, 2, 3, 4, 5]))
    await pass(120_000, 250)
    // 3 failures until the breaker opens, then probes at 1, 2, 4, 8, 16, 30, 30 s
    const probes = asked.filter(({ unitId }) => unitId === 3)
    expect(probes.length).toBeGreaterThanOrEqual(8)
    expect(probes.length).toBeLessThanOrEqual(11)
    for (const unitId of [1, 2, 4, 5]) {
      const id = `w:m-${unitId}`
      expect(acquisition.diagnosis(id).counters, id).toMatchObject({ missedScans: 0, timeouts: 0 })
      const own = asked.filter(one => one.unitId === unitId)
      // 120 fast scans and 24 slow ones, totals twice at first
      expect(own.length).toBeGreaterThanOrEqual(140)
      const starts = own.map(one => one.at).filter((at, index, all) => at !== all[index - 1])
      for (const [index, at] of starts.entries()) {
        const before = starts[index - 1]
        if (before !== undefined) expect(at - before, `${id} at ${at - start}`).toBeLessThanOrEqual(1000 + timeoutMs)
      }
    }
  })

  test.each([1, 4])(
    'a failing unit is asked one thing at a time, all others go before it (%d in flight)',
    async maxInFlight => {
      const many = profileOf({
        profile: 'many',
        title,
        source: 'made for the test',
        confidence: 'own',
        driver: 'modbus',
        modbus: {},
        tags: Array.from({ length: 8 }, (_, index) => ({
          name: `t${index}`,
          title,
          register: index * 100,
          type: 'u16',
          scan: 'fast',
        })),
      })
      server.fault = request => (request.unitId === 1 ? 'silent' : null)
      silent = ['w:m-1']
      const file = siteOf(
        {
          channels: [{ id: 'c', driver: 'modbus', host: '127.0.0.1', port: server.port, timeoutMs, maxInFlight }],
          devices: [1, 2, 3].map(unitId => ({ site: 'w', id: `m-${unitId}`, channel: 'c', unitId, profile: 'many' })),
          scanClasses: { fast: 1000, normal: 1000, slow: 1000 },
        },
        [many],
      )
      await begin(file)
      await pass(4000, 50)
      // as many as may be in flight at first, then one by one until the breaker opens, then probes
      const asked = server.requests.map(request => request.unitId)
      const first = asked.slice(0, maxInFlight)
      const later = asked.filter((unitId, index) => unitId === 1 && index >= maxInFlight)
      expect(first.every(unitId => unitId === 1)).toBe(true)
      expect(later.length).toBeLessThanOrEqual(4)
      for (const [index, unitId] of asked.entries()) {
        if (index >= maxInFlight && unitId === 1) expect(asked[index - 1], `request ${index}`).not.toBe(1)
      }
      for (const id of ['w:m-2', 'w:m-3']) expect(acquisition.diagnosis(id).counters).toMatchObject({ missedScans: 0 })
    },
  )

  test('one lost answer makes the readings of that scan bad, not the device offline', async () => {
    server.set(1, 0, 100)
    await begin(site([1]))
    await pass(1000)
    let lose = 1
    server.fault = () => (lose-- > 0 ? 'silent' : null)
    silent = ['w:m-1']
    await pass(1500)
    silent = []
    await pass(2000)
    expect(sink.readingsOf('w/m-1/flow').map(reading => reading.reason)).toEqual([null, 'timeout', null])
    expect(sink.story).not.toContain('offline w:m-1')
  })
})

describe('a device that refuses', () => {
  test('a register answered with exception 2 is isolated; the others are read in the same scan', async () => {
    server.set(1, 0, 100, 7)
    server.fault = ({ start: from, count }) => (from <= 1 && from + count > 1 ? { exception: 2 } : null)
    await begin(site([1]))
    await pass(1000)
    expect(last('w/m-1/flow')).toEqual([100, 'good', null])
    expect(last('w/m-1/gas')).toEqual([null, 'bad', 'exception'])
    expect(acquisition.diagnosis('w:m-1').counters.isolated).toBe(1)
    expect(acquisition.diagnosis('w:m-1').lastError?.text).toMatch(/^exception 2 \(illegal data address\) on register/)
    expect(acquisition.isOnline('w:m-1')).toBe(true)
    // it is left alone
    server.requests.length = 0
    await pass(10_000)
    expect(server.requests.filter(({ start: from, count }) => from <= 1 && from + count > 1)).toEqual([])
  })

  test('busy (exception 6) is asked once more; a failing server (4) is bad and not reconnected', async () => {
    server.set(1, 0, 100)
    let busy = 1
    server.fault = request => (request.start === 0 && busy-- > 0 ? { exception: 6 } : null)
    await begin(site([1]))
    await pass(500)
    expect(sink.readingsOf('w/m-1/flow').map(reading => reading.reason)).toEqual([null])
    server.fault = request => (request.start === 0 ? { exception: 4 } : null)
    await pass(2000)
    expect(last('w/m-1/flow')).toEqual([null, 'bad', 'exception'])
    expect(server.connections).toBe(1)
    expect(acquisition.isOnline('w:m-1')).toBe(true)
    // what fails again and again is asked less often
    server.requests.length = 0
    await pass(20_000)
    expect(server.requests.filter(request => request.start === 0).length).toBeLessThan(10)
    server.fault = () => null
    await pass(60_000, 500)
    expect(last('w/m-1/flow')).toEqual([100, 'good', null])
  })

  test('a gateway that does not reach the unit (exception 11) is a dead unit', async () => {
    server.fault = request => (request.unitId === 1 ? { exception: 11 } : null)
    await begin(site([1, 2]))
    await pass(10_000)
    expect(acquisition.isOnline('w:m-1')).toBe(false)
    expect(last('w/m-1/flow')).toEqual([null, 'bad', 'timeout'])
    expect(acquisition.isOnline('w:m-2')).toBe(true)
  })
})

describe('the connection', () => {
  test('a reset connection is made again; the scan that was cut is finished on the new one', async () => {
    server.set(1, 0, 100)
    await begin(site([1]))
    await pass(1000)
    let cut = 1
    server.fault = () => (cut-- > 0 ? 'reset' : null)
    server.set(1, 0, 200)
    await time.advance(1000)
    await expect.poll(() => cut).toBeLessThanOrEqual(0)
    await expect
      .poll(async () => {
        await time.advance(25)
        return server.connections
      })
      .toBe(2)
    await expect.poll(() => last('w/m-1/flow')).toEqual([200, 'good', null])
    expect(sink.readingsOf('w/m-1/flow').map(reading => reading.quality)).not.toContain('bad')
    expect(acquisition.diagnosis('w:m-1').counters.reconnects).toBe(1)
  })

  test('a unit that ends the connection whenever it is asked is left alone; the others are read', async () => {
    server.set(2, 0, 50)
    server.fault = request => (request.unitId === 1 ? 'reset' : null)
    acquisition = await open(site([1, 2]), { clock: time, ticker: time, sink })
    acquisition.start()
    const step = (ms: number) => (done: () => unknown) =>
      expect.poll(
        async () => {
          await time.advance(ms)
          return done()
        },
        { interval: 2, timeout: 10_000 },
      )
    await step(50)(() => acquisition.isOnline('w:m-1')).toBe(false)
    await step(50)(() => last('w/m-2/flow')).toEqual([50, 'good', null])
    const from = time.now()
    const connections = server.connections
    await step(25)(() => time.now() - from > 20_000).toBe(true)
    expect(acquisition.isOnline('w:m-2')).toBe(true)
    // one connection a probe
    expect(server.connections - connections).toBeLessThanOrEqual(6)
  })

  test('garbage closes the connection and the next one works', async () => {
    server.set(1, 0, 100)
    await begin(site([1]))
    let once = 1
    server.fault = () => (once-- > 0 ? 'garbage' : null)
    server.set(1, 0, 300)
    await expect
      .poll(async () => {
        await time.advance(250)
        return server.connections
      })
      .toBeGreaterThanOrEqual(2)
    await expect
      .poll(async () => {
        await time.advance(250)
        return last('w/m-1/flow')
      })
      .toEqual([300, 'good', null])
  })

  test('a half-open connection: after three silent requests a new one is made', async () => {
    await begin(site([1]))
    server.fault = () => (server.connections === 1 ? 'silent' : null)
    silent = ['w:m-1']
    await expect
      .poll(async () => {
        await time.advance(250)
        return server.connections
      })
      .toBeGreaterThanOrEqual(2)
    await expect
      .poll(async () => {
        await time.advance(250)
        return acquisition.diagnosis('w:m-1').state
      })
      .toBe('ok')
  })

  test('nobody listens: all devices are unreachable and then offline; when the server is back they are read at once', async () => {
    const { port } = server
    await server.close()
    acquisition = await open(site([1, 2], { port }), { clock: time, ticker: time, sink })
    acquisition.start()
    await expect
      .poll(async () => {
        await time.advance(250)
        return acquisition.isOnline('w:m-1') || acquisition.isOnline('w:m-2')
      })
      .toBe(false)
    expect(last('w/m-2/flow')).toEqual([null, 'bad', 'unreachable'])
    server = await RawModbus.open(port)
    server.set(2, 0, 77)
    await expect
      .poll(async () => {
        await time.advance(1000)
        return acquisition.isOnline('w:m-1') && acquisition.isOnline('w:m-2')
      })
      .toBe(true)
    await expect.poll(() => last('w/m-2/flow')).toEqual([77, 'good', null])
  })
})

test('cycles neither drift nor pile up: what cannot be read in time is counted as missed', async () => {
  const asked: number[] = []
  server.onRead = ({ start: from }) => {
    if (from === 0) asked.push(time.now() - start)
  }
  await begin(site([1], { timeoutMs: 10_000 }))
  await pass(10_000)
  expect(asked.length).toBe(11)
  expect(new Set(asked.map(at => at % 1000)).size).toBe(1)
  // one answer takes 3.5 s
  server.fault = request => (request.start === 0 ? 'late' : null)
  silent = ['w:m-1']
  await pass(1000)
  await pass(3500)
  server.fault = () => null
  server.release()
  silent = []
  await quiet(acquisition)
  const before = asked.length
  expect(acquisition.diagnosis('w:m-1').counters.missedScans).toBe(3)
  await pass(3000)
  expect(asked.length - before).toBe(3)
  expect(new Set(asked.map(at => at % 1000)).size).toBe(1)
})
