import type { Tag } from '../api/client.ts'

const units: Readonly<Record<string, string>> = { 'm3/h': 'm³/h', m3: 'm³', degC: '°C', 'mg/m3': 'mg/m³' }

export const unitText = (unit: string | null): string => (unit === null ? '' : (units[unit] ?? unit))

/** A value as text. Totals are exact: count × resolution, never through a floating-point number. */
export function valueText(value: Tag['value'], tag: Pick<Tag, 'resolution' | 'type'>): string {
  if (value === null) return '—'
  if (typeof value === 'boolean') return value ? '1' : '0'
  if (tag.type === 'Int64' || tag.type === 'UInt64') return exact(String(value), tag.resolution)
  return numberText(value)
}

/** A measured number with the digits that a single-precision register can mean. */
export const numberText = (value: number | string | boolean): string =>
  typeof value === 'number' && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : String(value)

/** count × resolution, e.g. ("1234567250", "0.001") → "1234567.250" */
function exact(count: string, resolution: string | null): string {
  if (resolution === null || !/^-?\d+$/.test(count)) return count
  const [whole = '0', fraction = ''] = resolution.split('.')
  const product = BigInt(count) * BigInt(whole + fraction)
  const digits = (product < 0n ? -product : product).toString().padStart(fraction.length + 1, '0')
  const sign = product < 0n ? '-' : ''
  return fraction === ''
    ? sign + digits
    : `${sign}${digits.slice(0, -fraction.length)}.${digits.slice(-fraction.length)}`
}
