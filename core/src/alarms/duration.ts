const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

export const durationPattern = '^(\\d+(\\.\\d+)?(ms|s|m|h|d))+$'

/** ms of `250ms`, `30s`, `5m`, `1h30m`, `7d`; null when it is no duration. */
export function parseDuration(text: string): number | null {
  if (!new RegExp(durationPattern).test(text)) return null
  let sum = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    sum += Number(number) * (units[unit ?? ''] ?? 0)
  }
  return Math.round(sum)
}

/** `90000` → `1m30s`; the two largest units that are not zero. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`
  const parts: string[] = []
  let rest = Math.floor(ms / 1_000) * 1_000
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = units[unit] ?? 1
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0 && parts.length < 2) parts.push(`${count}${unit}`)
  }
  return parts.join('')
}
