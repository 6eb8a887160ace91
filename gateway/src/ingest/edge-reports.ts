import type { DeclaredLoss } from '@penstock/core/delivery/batch.ts'
import type { DeviceDiagnosis } from '@penstock/core/diagnosis.ts'
import { deliveryClasses } from '@penstock/core/reading.ts'
import type { Metric } from '@penstock/core/sparkplug/payload.ts'

const longest = 64 * 1024
const lossReasons = ['outbox-full', 'too-old', 'unreadable', 'disk-image'] as const
const states = ['starting', 'ok', 'failing', 'open'] as const

/** `Delivery/Loss`, or null if it is none. Never throws. */
export function readLoss(metric: Metric): DeclaredLoss | null {
  const json = readObject(metric)
  if (!json) return null
  const { from, to, firstMs, lastMs } = json
  const name = deliveryClasses.find(known => known === json.class)
  const reason = lossReasons.find(known => known === json.reason)
  if (!name || !reason || !isCount(from) || !isCount(to) || from >= to) return null
  return {
    class: name,
    from,
    to,
    firstMs: isTime(firstMs) ? firstMs : null,
    lastMs: isTime(lastMs) ? lastMs : null,
    reason,
  }
}

/** `Properties/Diagnostics`, or null if it is none. Never throws. */
export function readDiagnosis(metric: Metric): DeviceDiagnosis | null {
  const json = readObject(metric)
  if (!json) return null
  const { address, since, nextTryAt } = json
  const state = states.find(known => known === json.state)
  if (typeof address !== 'string' || !state || !isTime(since)) return null
  const lastRequest = readExchange(json.lastRequest)
  const lastAnswer = readExchange(json.lastAnswer)
  const lastError = readExchange(json.lastError)
  return {
    address,
    state,
    since,
    lastRequest: lastRequest && { at: lastRequest.at, what: lastRequest.what, hex: lastRequest.hex },
    lastAnswer: lastAnswer && { at: lastAnswer.at, hex: lastAnswer.hex },
    lastError: lastError && { at: lastError.at, reason: lastError.reason as never, text: lastError.text },
    nextTryAt: isTime(nextTryAt) ? nextTryAt : null,
    counters: readCounters(json.counters),
  }
}

interface Exchange {
  readonly at: number
  readonly what: string
  readonly hex: string
  readonly reason: string
  readonly text: string
}

function readExchange(json: unknown): Exchange | null {
  if (!isObject(json) || !isTime(json.at)) return null
  const text = (key: string) => (typeof json[key] === 'string' ? json[key] : '')
  return { at: json.at, what: text('what'), hex: text('hex'), reason: text('reason'), text: text('text') }
}

function readCounters(json: unknown): Record<string, number> {
  if (!isObject(json)) return {}
  const numbers = Object.entries(json).filter((entry): entry is [string, number] => Number.isFinite(entry[1]))
  return Object.fromEntries(numbers.slice(0, 100))
}

function readObject({ value }: Metric): Record<string, unknown> | null {
  if (typeof value !== 'string' || value.length > longest) return null
  try {
    const json: unknown = JSON.parse(value)
    return isObject(json) ? json : null
  } catch {
    return null
  }
}

const isObject = (json: unknown): json is Record<string, unknown> =>
  typeof json === 'object' && json !== null && !Array.isArray(json)
const isCount = (json: unknown): json is number => Number.isSafeInteger(json) && Number(json) >= 0
const isTime = (json: unknown): json is number => typeof json === 'number' && Number.isFinite(json)
