import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { JournalRecord } from '@penstock/core/alarms/journal-record.ts'
import { silentLogger } from '@penstock/core/runtime/log.ts'
import { AlarmJournal } from '@penstock/gateway/alarms/journal.ts'
import { Notifier } from '@penstock/gateway/notify/notifier.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FaultyFiles, seeded } from '../../support/faulty-files.ts'
import { ManualTime } from '../../support/manual-time.ts'
import { signatureIsRight } from '../../support/webhook-receiver.ts'

interface Call {
  readonly path: string
  readonly body: string
  readonly signature: string
  readonly delivery: string
}

/** A receiver whose answers the test decides; `hang` never answers. */
class Receiver {
  readonly calls: Call[] = []
  answer: (call: Call) => number | 'hang' | 'cut' = () => 204
  retryAfter: string | null = null
  readonly #server = createServer((request, response) => void this.#serve(request, response))

  async open(): Promise<void> {
    await new Promise<void>(done => this.#server.listen(0, '127.0.0.1', done))
  }

  url(path: string): string {
    const address = this.#server.address()
    return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/${path}`
  }

  deliveries(path: string): string[] {
    return this.calls.filter(call => call.path === `/${path}`).map(({ delivery }) => delivery)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(done => this.#server.close(done))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const { headers, url = '' } = request
    const call = {
      path: url,
      body,
      signature: String(headers['penstock-signature']),
      delivery: String(headers['penstock-delivery']),
    }
    this.calls.push(call)
    const answer = this.answer(call)
    if (answer === 'cut') request.socket.destroy()
    else if (answer !== 'hang') {
      response.writeHead(answer, this.retryAfter === null ? {} : { 'retry-after': this.retryAfter }).end('x')
    }
  }
}

const raise = (position: number, more: Partial<JournalRecord> = {}): JournalRecord => ({
  kind: 'RAISE',
  position,
  index: 0,
  at: 1_000,
  appliedAt: 1_000_000,
  lane: 'live',
  cause: 'C2',
  announce: true,
  alarm: 'cl2.leak@s:cl2-1:concentration',
  rule: 'cl2.leak',
  ruleHash: 'x',
  source: 's/cl2-1/concentration',
  priority: 'critical',
  level: 'HH',
  fromLevel: null,
  before: 'NORMAL',
  after: 'UNACK',
  occ: 3,
  ann: 1,
  value: 0.7,
  limit: 0.67,
  unit: 'ppm',
  reason: null,
  activeSince: null,
  returnedAt: null,
  late: false,
  count: 1,
  actor: null,
  commandId: null,
  comment: null,
  text: { zh: '氯气', en: 'chlorine' },
  route: 'safety',
  ...more,
})

const secret = 'the secret of the duty room'
let receiver: Receiver
let files: FaultyFiles
let time: ManualTime
let journal: AlarmJournal
let notifier: Notifier | null
const listeners = new Set<() => void>()

async function openNotifier(paths: readonly string[], random = () => 1): Promise<Notifier> {
  notifier = await Notifier.open({
    folder: 'notify',
    files,
    targets: paths.map(path => ({ id: path, url: receiver.url(path), secret })),
    alarms: {
      journal,
      onJournal: listener => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
      ruleOf: () => undefined,
    },
    names: {
      site: () => ({ zh: '示例水厂', en: 'Sample waterworks' }),
      device: () => null,
    },
    consoleUrl: 'http://127.0.0.1:8080',
    clock: time,
    ticker: time,
    random,
    log: silentLogger,
  })
  return notifier
}

async function write(...records: JournalRecord[]): Promise<void> {
  journal.append(records)
  await journal.sync()
  for (const listener of listeners) listener()
}

const status = (id: string) => notifier?.status().find(hook => hook.id === id)

beforeEach(async () => {
  receiver = new Receiver()
  await receiver.open()
  files = new FaultyFiles(seeded(3))
  time = new ManualTime(1_000_000)
  journal = await AlarmJournal.open({ folder: 'journal', files })
})

afterEach(async () => {
  await notifier?.close()
  await journal.close()
  await receiver.close()
  listeners.clear()
})

describe('a webhook', () => {
  it('links a late finding to itself, not to the alarm beside which it stands', async () => {
    await openNotifier(['a'])
    await write(raise(0), raise(1, { kind: 'LATE_FINDING', late: true, occ: 2, after: 'RTN_UNACK' }))
    await expect.poll(() => status('a')).toMatchObject({ delivered: 2 })
    const links = receiver.calls.map(({ body }) => (JSON.parse(body) as { link: string }).link)
    const page = 'http://127.0.0.1:8080/alarms/cl2.leak%40s%3Acl2-1%3Aconcentration'
    expect(links).toEqual([page, `${page}~2`])
  })

  it('gets a signed message with everything a person needs, once', async () => {
    await openNotifier(['a'])
    await write(raise(0), raise(1, { kind: 'LEVEL', announce: false }))
    await expect.poll(() => status('a')).toMatchObject({ state: 'idle', delivered: 1, behind: 0, problem: null })
    expect(receiver.calls).toHaveLength(1)
    const [call] = receiver.calls
    expect(
      call && signatureIsRight({ body: call.body, signature: call.signature, delivery: call.delivery }, secret),
    ).toBe(true)
    expect(call && signatureIsRight({ body: `${call.body} `, signature: call.signature, delivery: '' }, secret)).toBe(
      false,
    )
    expect(call?.signature).toMatch(/^t=1000,v1=[0-9a-f]{64}$/)
    expect(JSON.parse(call?.body ?? '')).toEqual({
      version: 1,
      delivery: '0',
      kind: 'RAISE',
      at: '1970-01-01T00:00:01.000Z',
      alarm: 'cl2.leak@s:cl2-1:concentration',
      rule: 'cl2.leak',
      route: 'safety',
      priority: 'critical',
      severity: 900,
      state: 'UNACK',
      previousState: 'NORMAL',
      level: 'HH',
      previousLevel: null,
      value: 0.7,
      limit: 0.67,
      unit: 'ppm',
      reason: null,
      source: 's/cl2-1/concentration',
      site: { id: 's', name: { zh: '示例水厂', en: 'Sample waterworks' } },
      device: { id: 'cl2-1', name: null },
      edge: null,
      occurrence: 3,
      announcement: 1,
      activeSince: '1970-01-01T00:00:01.000Z',
      returnedAt: null,
      late: false,
      count: 1,
      actor: null,
      comment: null,
      text: { zh: '氯气', en: 'chlorine' },
      consequence: null,
      action: null,
      link: 'http://127.0.0.1:8080/alarms/cl2.leak%40s%3Acl2-1%3Aconcentration',
    })
  })

  it('is told again, in order, with the same delivery number, after 500, 429, 404 and a cut connection', async () => {
    await openNotifier(['a'])
    const answers: (number | 'cut')[] = [500, 429, 404, 'cut', 204, 204]
    receiver.answer = () => answers.shift() ?? 204
    await write(raise(0), raise(1))
    for (const [count, wait] of [
      [1, 1_000],
      [2, 2_000],
      [3, 4_000],
      [4, 8_000],
    ] as const) {
      await expect.poll(() => [receiver.calls.length, status('a')?.state]).toEqual([count, 'waiting'])
      await time.advance(wait - 1)
      expect(receiver.calls).toHaveLength(count)
      await time.advance(1)
    }
    await expect.poll(() => status('a')?.delivered).toBe(2)
    expect(receiver.deliveries('a')).toEqual(['0', '0', '0', '0', '0', '1'])
    expect(status('a')).toMatchObject({ failures: 0, problem: null, refused: 0 })
  })

  it('waits as long as the receiver asks for', async () => {
    await openNotifier(['a'])
    receiver.retryAfter = '30'
    receiver.answer = () => 503
    await write(raise(0))
    await expect.poll(() => status('a')?.state).toBe('waiting')
    await time.advance(29_999)
    expect(receiver.calls).toHaveLength(1)
    receiver.answer = () => 204
    await time.advance(1)
    await expect.poll(() => status('a')?.delivered).toBe(1)
  })

  it.each([400, 410, 422])(
    'that answers %i is not asked again; the next message goes on, and the refusal is shown',
    async code => {
      await openNotifier(['a'])
      receiver.answer = ({ delivery }) => (delivery === '0' ? code : 204)
      await write(raise(0), raise(1))
      await expect.poll(() => status('a')).toMatchObject({ delivered: 1, refused: 1, behind: 0, problem: null })
      expect(status('a')?.lastRefusal).toEqual({
        at: 1_000_000,
        alarm: 'cl2.leak@s:cl2-1:concentration',
        problem: `answered ${code}`,
      })
      expect(receiver.deliveries('a')).toEqual(['0', '1'])
    },
  )

  it('that hangs holds up no other, and is given up after ten seconds', async () => {
    await openNotifier(['slow', 'quick'])
    receiver.answer = ({ path }) => (path === '/slow' ? 'hang' : 204)
    await write(raise(0), raise(1))
    await expect.poll(() => status('quick')?.delivered).toBe(2)
    await expect.poll(() => receiver.deliveries('slow')).toEqual(['0'])
    await time.advance(10_000)
    await expect
      .poll(() => status('slow'))
      .toMatchObject({ state: 'waiting', delivered: 0, behind: 2, problem: 'no answer within 10 s' })
  })

  it('is not followed to another place', async () => {
    await openNotifier(['a'])
    receiver.answer = () => 302
    await write(raise(0))
    await expect.poll(() => status('a')?.problem).toBe('answered 302')
  })

  it('goes on after a restart where it was: nothing left out, what was not confirmed comes again', async () => {
    await openNotifier(['a'])
    receiver.answer = ({ delivery }) => (delivery === '1' ? 'hang' : 204)
    await write(raise(0), raise(1), raise(2))
    await expect.poll(() => receiver.deliveries('a')).toEqual(['0', '1'])
    await notifier?.close()
    receiver.answer = () => 204
    await openNotifier(['a'])
    await expect.poll(() => status('a')?.behind).toBe(0)
    expect(receiver.deliveries('a')).toEqual(['0', '1', '1', '2'])
  })

  it('that is new is told what happens from then on, not the past', async () => {
    await write(raise(0))
    await openNotifier(['a'])
    await write(raise(1))
    await expect.poll(() => status('a')?.delivered).toBe(1)
    expect(receiver.deliveries('a')).toEqual(['1'])
  })

  it('is not woken at night for yesterday: messages older than a day are counted, not sent', async () => {
    await openNotifier(['a'])
    receiver.answer = () => 500
    await write(raise(0))
    await expect.poll(() => status('a')?.state).toBe('waiting')
    time.jump(25 * 3_600_000)
    receiver.answer = () => 204
    await write(raise(1, { appliedAt: time.now() }))
    await time.advance(1)
    await expect.poll(() => status('a')).toMatchObject({ delivered: 1, expired: 1 })
    expect(receiver.deliveries('a')).toEqual(['0', '1'])
  })
})
