import { AlarmEngine } from '@penstock/core/alarms/engine.ts'
import type { RuleFile } from '@penstock/core/alarms/rule-file.ts'
import { decodeSnapshot, encodeSnapshot } from '@penstock/core/alarms/snapshot.ts'
import type { Reading } from '@penstock/core/reading.ts'
import { seeded } from '../support/faulty-files.ts'
import type { Row } from './row.ts'

const tagCount = 100_000
const standing = 10_000
const batchReadings = 500
const start = Date.UTC(2026, 2, 1)

const texts = { text: { zh: '{value}', en: '{value}' } }
const rules: RuleFile = {
  version: 1,
  rules: [
    {
      id: 'level',
      kind: 'limit',
      for_each: { tag: '*/*/level' },
      unit: '%',
      levels: [
        { name: 'HH', at: '>= 95', deadband: 1, priority: 'critical' },
        { name: 'H', at: '>= 90', deadband: 2, priority: 'high' },
        { name: 'L', at: '<= 10', deadband: 2, priority: 'medium' },
        { name: 'LL', at: '<= 5', deadband: 1, priority: 'high' },
      ],
      ...texts,
    },
  ],
}

const tags = Array.from({ length: tagCount }, (_, index) => `s${index % 200}/d${Math.floor(index / 200)}/level`)

const readingOf = (tag: string, value: number, at: number): Reading => ({
  tag,
  type: 'Double',
  value,
  quality: 'good',
  reason: null,
  sourceTimestamp: at,
})

/** 100 000 tags with 4 levels each, all at rest in the middle but `standing` of them, which are too high. */
function fill(): AlarmEngine {
  const engine = new AlarmEngine()
  engine.apply(0, { kind: 'rules', at: start, hash: 'bench', files: [rules] })
  for (let from = 0; from < tagCount; from += batchReadings) {
    const readings = tags
      .slice(from, from + batchReadings)
      .map((tag, k) => readingOf(tag, from + k < standing ? 92 : 50, start))
    engine.apply(1 + from, { kind: 'readings', lane: 'current', at: start, skewMs: 0, readings })
  }
  return engine
}

/** Processor time of this thread: the rate of one core, also when others use the machine. */
function seconds(run: () => void): number {
  const before = process.threadCpuUsage()
  run()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1e6
}

/** What any evaluator must do at least: look the row up, compare with two bounds, keep value and time. */
function bareLoop(rows: Uint32Array, values: Float64Array): number {
  const lo = new Float64Array(tagCount).fill(10)
  const hi = new Float64Array(tagCount).fill(90)
  const last = new Float64Array(tagCount)
  const times = new Float64Array(tagCount)
  let outside = 0
  for (let k = 0; k < rows.length; k++) {
    const row = rows[k] ?? 0
    const value = values[k] ?? 0
    if (value > (lo[row] ?? 0) && value < (hi[row] ?? 0)) {
      last[row] = value
      times[row] = k
    } else {
      outside++
    }
  }
  return outside
}

/** Evaluation against a loop of bare comparisons, and the start of a gateway with many standing alarms. */
export async function benchAlarms(): Promise<Row[]> {
  const random = seeded(1)
  const engine = fill()
  const count = 5_000_000
  const rows = new Uint32Array(count)
  const values = new Float64Array(count)
  const times = new Float64Array(count)
  for (let k = 0; k < count; k++) {
    rows[k] = standing + Math.floor(random() * (tagCount - standing))
    // 0.5 % are too high or too low, and the next one of that tag is outside its quiet zone as well: it returns.
    values[k] = random() < 0.005 ? (random() < 0.5 ? 91 + random() * 8 : random() * 9) : 20 + random() * 60
    times[k] = start + 1_000 + Math.floor(k / 100)
  }
  const chunk = 50_000
  let slow = 0
  const evaluate = (from: number, to: number) => {
    for (let k = from; k < to; k += chunk) {
      const end = Math.min(to, k + chunk)
      engine.takeChanged()
      slow += engine.evaluateColumns(
        rows.subarray(k, end),
        times.subarray(k, end),
        values.subarray(k, end),
        times[end - 1] ?? 0,
      )
    }
  }
  const rounds = 4
  const nextRound = () => {
    for (let k = 0; k < count; k++) times[k] = (times[k] ?? 0) + 60_000
  }
  evaluate(0, count)
  slow = 0
  let took = 0
  for (let round = 0; round < rounds; round++) {
    nextRound()
    took += seconds(() => evaluate(0, count))
  }
  bareLoop(rows, values)
  const bare = seconds(() => bareLoop(rows, values))
  const rate = (rounds * count) / took
  const ceiling = count / bare

  const inbox = readingsRate(random)

  const before = fill()
  let bytes = new Uint8Array()
  const writing = seconds(() => {
    bytes = new Uint8Array(encodeSnapshot(before, [rules]))
  })
  let restored: AlarmEngine | null = null
  const starting = seconds(() => {
    restored = decodeSnapshot(bytes)?.engine ?? null
  })
  const open = [...((restored as AlarmEngine | null)?.instances() ?? [])].filter(({ state }) => state.v >= 0).length
  if (open !== standing) throw new Error(`${open} standing alarms after the start instead of ${standing}`)
  return [
    {
      what: `alarm evaluation, 100 000 tags × 4 levels, ${((100 * slow) / (rounds * count)).toFixed(1)} % on the slow path`,
      value: rate,
      unit: 'readings/s',
      ceiling,
      ratio: rate / ceiling,
      bar: { of: 'value', atLeast: 10_000_000 },
    },
    {
      what: 'alarm evaluation of inbox batches of 500 readings',
      value: inbox,
      unit: 'readings/s',
      ceiling: null,
      ratio: null,
      bar: null,
    },
    {
      what: 'alarm engine from its snapshot, 100 000 tags, 10 000 standing alarms',
      value: starting,
      unit: 's',
      ceiling: null,
      ratio: null,
      bar: { of: 'value', atMost: 5 },
    },
    { what: 'alarm snapshot written', value: writing * 1_000, unit: 'ms', ceiling: null, ratio: null, bar: null },
  ]
}

/** The same evaluation as it comes from the inbox: readings with tags by name. */
function readingsRate(random: () => number): number {
  const engine = fill()
  const batches = Array.from({ length: 2_000 }, (_, b) =>
    Array.from({ length: batchReadings }, () => {
      const tag = tags[standing + Math.floor(random() * (tagCount - standing))] ?? ''
      const value = random() < 0.005 ? 92 : 20 + random() * 60
      return readingOf(tag, value, start + 1_000 + b)
    }),
  )
  const apply = (readings: readonly Reading[], b: number) =>
    engine.apply(1_000_000 + b, { kind: 'readings', lane: 'current', at: start + 1_000 + b, skewMs: 0, readings })
  for (const [b, readings] of batches.slice(0, 500).entries()) apply(readings, b)
  const took = seconds(() => {
    for (const [b, readings] of batches.slice(500).entries()) apply(readings, 500 + b)
  })
  return (1_500 * batchReadings) / took
}
