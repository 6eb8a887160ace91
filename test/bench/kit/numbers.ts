/** The value that a share of `sorted` (ascending) does not exceed; NaN of nothing. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return Number.NaN
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export const ascending = (values: Iterable<number>): Float64Array => Float64Array.from(values).sort()

export const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** Asks again every `everyMs` until it is so. @throws Error that says what was awaited */
export async function until(
  what: string,
  withinMs: number,
  isSo: () => boolean | Promise<boolean>,
  everyMs = 20,
): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs / 1000} s: ${what}`)
    await pause(everyMs)
  }
}

/** `--long`: measure for minutes instead of seconds. */
export const isLong = process.argv.includes('--long')
