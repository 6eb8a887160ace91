import { silentLogger } from '@penstock/core/runtime/log.ts'
import { type Attempted, supervise } from '@penstock/core/runtime/supervisor.ts'
import { expect, test } from 'vitest'
import { ManualTime, turn } from '../../support/manual-time.ts'

const backoff = { minMs: 1000, maxMs: 8000, stableMs: 10_000 }

function connection() {
  const { promise, resolve } = Promise.withResolvers<string>()
  let closed = 0
  return {
    ended: promise,
    end: resolve,
    get closed() {
      return closed
    },
    close() {
      closed++
      resolve('closed')
    },
  }
}

function setup(attempt: (signal: AbortSignal) => Promise<Attempted>, random = () => 0.999_999) {
  const time = new ManualTime()
  const tries: number[] = []
  const supervisor = supervise({
    name: 'link',
    backoff,
    ticker: time,
    random,
    log: silentLogger,
    attempt: signal => {
      tries.push(Math.round(time.now()))
      return attempt(signal)
    },
  })
  return { time, tries, supervisor }
}

test('pauses double up to the cap and are spread over their whole length', async () => {
  const full = setup(() => Promise.reject(new Error('refused')))
  await full.time.advance(40_000)
  expect(full.tries).toEqual([0, 1000, 3000, 7000, 15_000, 23_000, 31_000, 39_000])
  expect(full.supervisor.lastProblem).toBe('refused')
  expect(full.supervisor.state).toBe('waiting')
  await full.supervisor.close()

  const half = setup(
    () => Promise.reject(new Error('refused')),
    () => 0.5,
  )
  await half.time.advance(7_600)
  expect(half.tries).toEqual([0, 500, 1500, 3500, 7500])
  await half.supervisor.close()
})

test('says in the log what it connects, under a name of its own: loggers have theirs', async () => {
  const lines: object[] = []
  const keep = (line: object) => lines.push(line)
  const time = new ManualTime()
  const supervisor = supervise({
    ...{ name: 'link', backoff, ticker: time, random: () => 0.5 },
    log: { ...silentLogger, info: keep, warn: keep } as unknown as typeof silentLogger,
    attempt: () => Promise.reject(new Error('refused')),
  })
  await time.advance(1)
  expect(lines).toEqual([{ what: 'link', problem: 'refused', failures: 0 }])
  await supervisor.close()
})

test('a connection that lived long starts the pauses anew, a short one does not', async () => {
  let lives = connection()
  const { time, tries, supervisor } = setup(async () => {
    lives = connection()
    return lives
  })
  for (let short = 0; short < 3; short++) {
    await time.advance(0)
    lives.end('lost')
    await time.advance(1000 * 2 ** short)
  }
  expect(tries).toEqual([0, 1000, 3000, 7000])
  expect(supervisor.state).toBe('up')
  await time.advance(10_000)
  lives.end('lost')
  await time.advance(1000)
  expect(tries.at(-1)).toBe(18_000)
  expect(supervisor.lastProblem).toBe('lost')
  await supervisor.close()
})

test('close ends what lives, waits for it and tries no more; twice is once', async () => {
  const lives = connection()
  const { time, tries, supervisor } = setup(async () => lives)
  await turn()
  await Promise.all([supervisor.close(), supervisor.close()])
  expect(lives.closed).toBeGreaterThan(0)
  expect(supervisor.state).toBe('closed')
  await time.advance(100_000)
  expect(tries).toEqual([0])
  expect(time.pending).toBe(0)
})

test('close during a pause ends the pause', async () => {
  const { time, supervisor } = setup(() => Promise.reject(new Error('refused')))
  await turn()
  expect(time.pending).toBe(1)
  await supervisor.close()
  expect(time.pending).toBe(0)
})

test('what an attempt still brings after close is closed too', async () => {
  const lives = connection()
  const arrives = Promise.withResolvers<Attempted>()
  const { supervisor } = setup(() => arrives.promise)
  await turn()
  const closing = supervisor.close()
  arrives.resolve(lives)
  await closing
  expect(lives.closed).toBe(1)
})

test('the attempt hears of the close through its signal', async () => {
  const { supervisor } = setup(
    signal => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  )
  await turn()
  await supervisor.close()
  expect(supervisor.state).toBe('closed')
  expect(supervisor.lastProblem).toBeNull()
})
