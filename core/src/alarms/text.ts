/** What may stand in braces in the texts of a rule. */
export const placeholderNames: ReadonlySet<string> = new Set([
  'tag',
  'tag.name',
  'site',
  'device',
  'edge',
  'value',
  'limit',
  'level',
  'unit',
  'quality',
  'reason',
  'age',
])

export function placeholdersOf(text: string): Set<string> {
  return new Set([...text.matchAll(/\{([^{}]*)\}/g)].map(match => match[1] ?? ''))
}

export function fillText(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{([^{}]*)\}/g, (whole, name: string) => values[name] ?? whole)
}

/** At most six significant digits, without a tail of zeros: 0.30000001192092896 is 0.3. */
export function formatNumber(value: number | null): string {
  if (value === null) return '–'
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)))
}

/** Value and limit with as many digits as it takes to tell them apart. */
export function formatPair(value: number | null, limit: number | null): readonly [string, string] {
  if (value === null || limit === null || value === limit) return [formatNumber(value), formatNumber(limit)]
  for (const digits of [6, 9, 12, 17]) {
    const [a, b] = [
      String(Number(value.toPrecision(Math.min(digits, 17)))),
      String(Number(limit.toPrecision(Math.min(digits, 17)))),
    ]
    if (a !== b) return [a, b]
  }
  return [String(value), String(limit)]
}
