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

/** Puts what `say` tells into the braces; what it does not know stays. */
export function fillText(text: string, say: (name: string) => string | undefined): string {
  return text.replace(/\{([^{}]*)\}/g, (whole, name: string) => say(name) ?? whole)
}

/** At most `digits` significant digits (but all before the point), without a tail of zeros: 0.30000001192092896 is 0.3. */
function round(value: number, digits: number): string {
  if (Number.isInteger(value)) return String(value)
  const size = Math.abs(value)
  if (size < 1e-6 || size >= 1e9) return String(Number(value.toPrecision(digits)))
  const scale = 10 ** Math.max(0, digits - 1 - Math.floor(Math.log10(size)))
  return String(Math.round(value * scale) / scale)
}

export const formatNumber = (value: number | null): string => (value === null ? '–' : round(value, 6))

/**
 * Value and limit with as many digits as it takes to tell them apart. What differs only by single precision is the same to an
 * instrument that sends such numbers: 0.33 comes as 0.330000013.
 */
export function formatPair(value: number | null, limit: number | null): readonly [string, string] {
  if (value === null || limit === null || Math.fround(value) === Math.fround(limit)) {
    return [formatNumber(value), formatNumber(limit)]
  }
  for (const digits of [6, 9, 12]) {
    const pair = [round(value, digits), round(limit, digits)] as const
    if (pair[0] !== pair[1]) return pair
  }
  return [String(value), String(limit)]
}
