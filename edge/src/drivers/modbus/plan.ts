import type { ReadCode } from './frame.ts'

/** Registers (function codes 3, 4) or bits (1, 2) that must be read in one request: [start, start + count). */
export interface PlanItem {
  readonly functionCode: ReadCode
  readonly start: number
  readonly count: number
}

/** One request that reads several items; `items` are indexes into the planned list, by ascending start. */
export interface PlannedRead extends PlanItem {
  readonly items: readonly number[]
}

export interface PlanLimits {
  /** registers in one request, at most 125; a request for bits may ask for 16 times as many */
  readonly maxRegisters: number
  /** unused registers read along to save a request */
  readonly maxGap: number
  /** ranges [first, last] that must never be read */
  readonly avoid: readonly (readonly [number, number])[]
}

export interface Plan {
  readonly reads: readonly PlannedRead[]
  /** items that cannot be read at all, with the reason in words */
  readonly refused: readonly { readonly item: number; readonly why: string }[]
}

const mostBits = 2000

export const mostPerRead = (functionCode: ReadCode, maxRegisters: number): number =>
  functionCode <= 2 ? Math.min(mostBits, maxRegisters * 16) : maxRegisters

/**
 * Coalesces items into requests: per function code, by ascending address, over gaps of at most `maxGap`, never more than
 * `maxRegisters`, never over an avoided register, never splitting an item.
 */
export function plan(items: readonly PlanItem[], limits: PlanLimits): Plan {
  const refused: { item: number; why: string }[] = []
  const order: number[] = []
  for (const [index, item] of items.entries()) {
    const most = mostPerRead(item.functionCode, limits.maxRegisters)
    if (item.count > most)
      refused.push({ item: index, why: `${item.count} registers do not fit one request of ${most}` })
    else if (item.start + item.count > 65536) refused.push({ item: index, why: 'it ends beyond register 65535' })
    else if (touches(limits.avoid, item.start, item.start + item.count)) {
      refused.push({ item: index, why: 'it lies on registers that must never be read ("avoid")' })
    } else order.push(index)
  }
  const at = (index: number): PlanItem => items[index] ?? { functionCode: 3, start: 0, count: 0 }
  order.sort(
    (a, b) => at(a).functionCode - at(b).functionCode || at(a).start - at(b).start || at(a).count - at(b).count,
  )
  const reads: { functionCode: ReadCode; start: number; count: number; items: number[] }[] = []
  let open = reads[0]
  for (const index of order) {
    const item = at(index)
    const end = item.start + item.count
    if (open && open.functionCode === item.functionCode) {
      const openEnd = open.start + open.count
      const newEnd = Math.max(openEnd, end)
      const fits = newEnd - open.start <= mostPerRead(item.functionCode, limits.maxRegisters)
      if (fits && item.start - openEnd <= limits.maxGap && !touches(limits.avoid, openEnd, item.start)) {
        open.count = newEnd - open.start
        open.items.push(index)
        continue
      }
    }
    open = { functionCode: item.functionCode, start: item.start, count: item.count, items: [index] }
    reads.push(open)
  }
  return { reads, refused }
}

const touches = (avoid: PlanLimits['avoid'], start: number, end: number): boolean =>
  avoid.some(([first, last]) => first < end && last >= start)

/** The smallest read that covers some items of a read: what bisecting asks for. */
export function cover(items: readonly { readonly start: number; readonly count: number }[]): {
  start: number
  count: number
} {
  let start = Number.POSITIVE_INFINITY
  let end = 0
  for (const item of items) {
    start = Math.min(start, item.start)
    end = Math.max(end, item.start + item.count)
  }
  return { start, count: end - start }
}
