import { type Reading, type Reason, reasons } from '../reading.ts'
import { PenstockError } from '../runtime/errors.ts'
import { parseDuration } from './duration.ts'
import type { Lane } from './input.ts'

/** One sample of a series: when it was taken, when it comes in, and how. */
export interface Sample {
  readonly at: number
  readonly arrives: number
  readonly lane: Lane
  readonly reading: Reading
}

/**
 * The series notation of golden timelines: items separated by spaces, the k-th sample is taken at start + k · every.
 * `0.3` one sample · `0.3*5` five · `0.1>0.5*5` a ramp · `_*5` nothing reported · `bad(timeout)*2` · `unc(0.3)*2`, `unc(0.3,inhibit)`
 * · `late(90s){0.1 0.5*3}` comes in 90 s after it was taken, as a backlog · `copy{0.5}` comes at once, ahead of a backlog.
 */
export function parseSeries(text: string, tag: string, start: number, everyMs: number): Sample[] {
  const samples: Sample[] = []
  let at = start
  const group = (items: string, lane: Lane, delayMs: number): void => {
    for (const item of items.split(/\s+/).filter(Boolean)) {
      const [, what = '', times] = /^(.*?)(?:\*(\d+))?$/.exec(item) ?? []
      const count = times === undefined ? 1 : Number(times)
      for (let k = 0; k < count; k++, at += everyMs) {
        const value = sampleOf(what, k, count)
        if (value === null) continue
        const reading: Reading = { tag, type: 'Double', ...value, sourceTimestamp: at }
        samples.push({ at, arrives: at + delayMs, lane, reading })
      }
    }
  }
  for (const [, kind, delay, inner, plain] of text.matchAll(/(late|copy)(?:\(([^)]*)\))?\{([^}]*)\}|([^\s{}]+)/g)) {
    if (plain !== undefined) group(plain, 'current', 0)
    else if (kind === 'copy') group(inner ?? '', 'copy', 0)
    else group(inner ?? '', 'backlog', parseDuration(delay ?? '') ?? fail(`late(${delay})`))
  }
  return samples
}

function sampleOf(what: string, k: number, count: number): Pick<Reading, 'value' | 'quality' | 'reason'> | null {
  if (what === '_') return null
  const bad = /^bad(?:\(([a-z-]+)\))?$/.exec(what)
  if (bad) return { value: null, quality: 'bad', reason: reasonOf(bad[1] ?? 'timeout') }
  const uncertain = /^unc\((-?[\d.]+)(?:,([a-z-]+))?\)$/.exec(what)
  if (uncertain) {
    return { value: Number(uncertain[1]), quality: 'uncertain', reason: reasonOf(uncertain[2] ?? 'device-warning') }
  }
  const ramp = /^(-?[\d.]+)>(-?[\d.]+)$/.exec(what)
  if (ramp) {
    const [from, to] = [Number(ramp[1]), Number(ramp[2])]
    return { value: count < 2 ? to : from + ((to - from) * k) / (count - 1), quality: 'good', reason: null }
  }
  const value = Number(what)
  return Number.isFinite(value) ? { value, quality: 'good', reason: null } : fail(what)
}

const reasonOf = (text: string): Reason => reasons.find(reason => reason === text) ?? fail(text)

function fail(what: string): never {
  throw new PenstockError('config-invalid', {
    text: `"${what}" is no sample; write 0.3, 0.3*5, 0.1>0.5*5, _*5, bad(timeout)*2, unc(0.3)*2, late(90s){...} or copy{...}`,
  })
}
