import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { listScenarios, loadScenario } from '@penstock/simulator/scenario/load.ts'
import type { Expectation } from '@penstock/simulator/scenario-file.ts'
import { openSimulator, type Simulator } from '@penstock/simulator/simulator.ts'
import { afterAll, describe, expect, it } from 'vitest'
import { ManualTime } from '../support/manual-time.ts'
import { payload, RawClient, read } from './raw-client.ts'

const start = Date.UTC(2026, 5, 15, 4)

it('comes with the scenarios that the demonstration names', () => {
  const names = ['calm-day', 'chlorine-leak', 'meter-comm-loss', 'real-meters', 'tank-overfill', 'totalizer-rollover']
  expect(listScenarios()).toEqual(expect.arrayContaining(names))
})

/** Reads a tag as a client does: the registers of the models, taken apart by hand. null: no answer. */
const readers: Readonly<Record<string, { pdu: number[]; value: (data: Buffer) => number }>> = {
  'midas concentration': {
    pdu: read(3, 2, 2),
    value: data => Buffer.concat([data.subarray(2, 4), data.subarray(0, 2)]).readFloatBE(),
  },
  'level-generic level': { pdu: read(3, 0, 2), value: data => data.readFloatBE() },
  'mfe600c total': { pdu: read(3, 3, 4), value: data => data.readUInt32BE() + data.readFloatBE(4) },
  'tuf2000 total': {
    pdu: read(3, 8, 4),
    value: data => data.readUInt16BE(2) * 65536 + data.readUInt16BE(0),
  },
}

class Reader {
  readonly #city: Simulator
  readonly #clients = new Map<string, RawClient>()

  constructor(city: Simulator) {
    this.#city = city
  }

  async read(tag: string): Promise<number | null> {
    const [siteId = '', deviceId = '', name = ''] = tag.split('/')
    const site = () => this.#city.sites.find(({ id }) => id === siteId)
    const device = site()?.devices.find(({ id }) => id === deviceId)
    const reader = readers[`${device?.kind} ${name}`]
    if (!device || !reader) throw new Error(`no reader for ${tag}`)
    let client = this.#clients.get(siteId)
    if (!client || client.closedWith) {
      client = await RawClient.connect(this.#city.port(siteId))
      this.#clients.set(siteId, client)
    }
    const answer = await client.tryAsk(device.unitId, reader.pdu, () => site()?.requests ?? 0)
    if (!answer || ((answer[7] ?? 0) & 0x80) !== 0) return null
    return reader.value(payload(answer))
  }

  close(): void {
    for (const client of this.#clients.values()) client.close()
  }
}

function happened({ event, limit }: Expectation, before: number | null | undefined, now: number | null): boolean {
  if (before === undefined) return false
  if (event === 'goes-silent') return before !== null && now === null
  if (event === 'answers-again') return before === null && now !== null
  if (before === null || now === null) return false
  if (event === 'rises-above') return before < (limit ?? 0) && now >= (limit ?? 0)
  if (event === 'falls-below') return before >= (limit ?? 0) && now < (limit ?? 0)
  return now < before
}

const withExpectations = listScenarios().filter(name => loadScenario(name).expect.length > 0)

const night = Date.UTC(2026, 0, 15, 19)

describe.each(withExpectations)('the scenario %s', name => {
  it.each([
    ['at noon in June', start],
    ['at night in January', night],
  ])('shows a reader what it promises, when it promises it, %s', { timeout: 30_000 }, async (_, from) => {
    const time = new ManualTime(from)
    const city = await openSimulator({ scenario: name, clock: time, ticker: time })
    const reader = new Reader(city)
    const { expect: expectations } = loadScenario(name)
    const tags = [...new Set(expectations.map(({ tag }) => tag))]
    const seen = new Map<Expectation, number[]>(expectations.map(one => [one, []]))
    const last = new Map<string, number | null>()
    const end = Math.max(...expectations.map(({ toMs }) => toMs)) + 2000
    for (let elapsed = 0; elapsed <= end; elapsed += 2000) {
      for (const tag of tags) {
        const value = await reader.read(tag)
        for (const one of expectations) {
          if (one.tag === tag && happened(one, last.get(tag), value)) seen.get(one)?.push(elapsed)
        }
        last.set(tag, value)
      }
      await time.advance(2000)
    }
    for (const [one, times] of seen) {
      const inTime = times.filter(at => at >= one.fromMs && at <= one.toMs + 2000)
      expect(
        inTime,
        `${one.tag} ${one.event} ${one.limit ?? ''} between ${one.fromMs} and ${one.toMs}, seen at ${times}`,
      ).not.toEqual([])
    }
    reader.close()
    await city.close()
  })
})

it('stays calm on the calm day: no gas above its low threshold, no tank outside its band', async () => {
  const time = new ManualTime(start)
  const city = await openSimulator({ scenario: 'calm-day', clock: time, ticker: time, factor: 50 })
  for (let hour = 0; hour < 24; hour++) {
    await time.advance(3_600_000)
    for (const { id, devices } of city.sites) {
      for (const { id: device, kind, values } of devices) {
        if (kind === 'midas') expect(values, `${id}/${device}`).toMatchObject({ low: false, high: false, faultCode: 0 })
        if (kind === 'level-generic') {
          expect(Number(values.level), `${id}/${device}`).toBeGreaterThan(30)
          expect(Number(values.level), `${id}/${device}`).toBeLessThan(90)
        }
      }
    }
  }
  expect(city.plants.waterworks?.tanks['clear-water']?.overflowM3).toBe(0)
  await city.close()
})

describe('a scenario file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  function problems(text: string): string {
    const path = join(folder, 'mine.yaml')
    writeFileSync(path, text)
    try {
      loadScenario(path)
      return ''
    } catch (error) {
      if (!(error instanceof PenstockError)) throw error
      return error.message.replaceAll(folder, '')
    }
  }

  it('may bring its own sites', () => {
    const text = [
      'scenario: mine',
      'title: { zh: 我的, en: Mine }',
      'sites:',
      '  - id: well',
      '    flows: [ { id: out, user: { annualM3: 50000 } } ]',
      '    devices:',
      '      - { id: m, unitId: 9, kind: mfe600c, meter: { flow: out, startM3: "1.5", modulusM3: "100000" } }',
    ]
    expect(problems(text.join('\n'))).toBe('')
  })

  it('is told all its mistakes with their places', () => {
    const text = [
      'scenario: mine',
      'title: { zh: 我的, en: Mine }',
      'city: demo',
      'steps:',
      '  - { atMs: 0, leek: { site: waterworks, room: x, mgPerSecond: 1 } }',
      '  - { atMs: -5, pump: { site: waterworks, flow: intake-1, mode: fast } }',
    ]
    const found = problems(text.join('\n'))
    expect(found).toContain('/mine.yaml:5:16: unknown key "leek"; did you mean "leak"?')
    expect(found).toContain('/mine.yaml:6:13: "-5" is not allowed for "atMs"')
    expect(found).toContain('/mine.yaml:6:65: "fast" is not allowed for "mode"')
  })

  it('is told what it names that is not there', () => {
    const text = [
      'scenario: mine',
      'title: { zh: 我的, en: Mine }',
      'city: demo',
      'steps:',
      '  - { atMs: 0, leak: { site: waterworks, room: cellar, mgPerSecond: 1 } }',
      '  - { atMs: 0, fault: { site: waterwork, kind: timeout } }',
      '  - { atMs: 0, total: { site: printing, device: fm-9, m3: "1" } }',
      '  - { atMs: 0 }',
      'expect:',
      '  - { tag: waterworks/fm-1/flow, event: rises-above, fromMs: 5, toMs: 4 }',
    ]
    const found = problems(text.join('\n'))
    expect(found).toContain(':5:22: there is no room "cellar"; there is: chlorine-room')
    expect(found).toContain(':6:23: there is no site "waterwork"')
    expect(found).toContain(':7:23: there is no device "fm-9"; there is: fm-1')
    expect(found).toContain(':8:5: write exactly one of leak,')
    expect(found).toContain('"rises-above" needs "limit"')
    expect(found).toContain('"toMs" is before "fromMs"')
  })

  it('is told of unit ids given twice and of parts that a model needs', () => {
    const text = [
      'scenario: mine',
      'title: { zh: 我的, en: Mine }',
      'sites:',
      '  - id: well',
      '    devices:',
      '      - { id: a, unitId: 9, kind: mfe600c }',
      '      - { id: b, unitId: 9, kind: level-generic, tank: pond }',
    ]
    const found = problems(text.join('\n'))
    expect(found).toContain('a mfe600c needs "meter"; add it')
    expect(found).toContain('unit id 9 is that of "a"; give another')
    expect(found).toContain('there is no tank "pond"; there is: none')
  })

  it('says which scenarios there are when a name is wrong', () => {
    expect(() => loadScenario('clorine-leak')).toThrow(/chlorine-leak/)
  })
})
