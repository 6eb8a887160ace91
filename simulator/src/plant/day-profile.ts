/** How the demand of a water user moves over the year and the day. */
export type DayProfile = 'flat' | 'summer-peak' | 'winter-peak' | 'irrigation'

export const dayProfiles = ['flat', 'summer-peak', 'winter-peak', 'irrigation'] as const satisfies readonly DayProfile[]

const shanghaiMs = 8 * 3_600_000
const dayMs = 86_400_000

/** Weight of each month, January first. */
const months: Readonly<Record<DayProfile, readonly number[]>> = {
  flat: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
  'summer-peak': [0.86, 0.84, 0.9, 0.95, 1.02, 1.13, 1.24, 1.22, 1.06, 0.96, 0.91, 0.9],
  'winter-peak': [1.35, 1.3, 1.15, 0.95, 0.8, 0.72, 0.7, 0.72, 0.8, 0.95, 1.2, 1.36],
  // 85 % in June to September
  irrigation: [0.2, 0.2, 0.25, 0.25, 0.25, 2.4, 2.75, 2.7, 2.3, 0.25, 0.2, 0.2],
}

const even: readonly number[] = new Array<number>(24).fill(1)
const town: readonly number[] = [
  0.55, 0.5, 0.47, 0.47, 0.52, 0.72, 1.1, 1.4, 1.35, 1.2, 1.12, 1.15, 1.2, 1.1, 1.02, 1.0, 1.05, 1.2, 1.38, 1.42, 1.3,
  1.08, 0.85, 0.66,
]
const days: Readonly<Record<DayProfile, readonly number[]>> = {
  flat: even,
  'summer-peak': town,
  'winter-peak': town,
  irrigation: even,
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

interface LocalDay {
  readonly year: number
  readonly dayOfYear: number
  readonly msOfDay: number
}

function localDay(at: number): LocalDay {
  const local = at + shanghaiMs
  const year = new Date(local).getUTCFullYear()
  const start = Date.UTC(year, 0, 1)
  return { year, dayOfYear: Math.floor((local - start) / dayMs), msOfDay: ((local % dayMs) + dayMs) % dayMs }
}

/** Weights of all days of a year, and their sum. */
function yearOf(profile: DayProfile, year: number): { weights: number[]; total: number } {
  const weights: number[] = []
  for (let day = Date.UTC(year, 0, 1); day < Date.UTC(year + 1, 0, 1); day += dayMs) {
    weights.push(months[profile][new Date(day).getUTCMonth()] ?? 1)
  }
  return { weights, total: sum(weights) }
}

const years = new Map<string, { weights: number[]; total: number }>()

function cachedYear(profile: DayProfile, year: number): { weights: number[]; total: number } {
  const key = `${profile} ${year}`
  const known = years.get(key)
  if (known) return known
  const made = yearOf(profile, year)
  years.set(key, made)
  return made
}

/** m³/h at an instant (ms UTC, Asia/Shanghai calendar) of a user of `annualM3` in the calendar year. */
export function demandM3PerHour(profile: DayProfile, annualM3: number, at: number): number {
  const { year, dayOfYear, msOfDay } = localDay(at)
  const { weights, total } = cachedYear(profile, year)
  const hours = days[profile]
  const hour = Math.floor(msOfDay / 3_600_000)
  return (annualM3 * (weights[dayOfYear] ?? 1) * (hours[hour] ?? 1)) / total / sum(hours)
}

/** m³ of the calendar year (Asia/Shanghai) up to an instant. */
export function yearToDateM3(profile: DayProfile, annualM3: number, at: number): number {
  const { year, dayOfYear, msOfDay } = localDay(at)
  const { weights, total } = cachedYear(profile, year)
  const hours = days[profile]
  const hour = Math.floor(msOfDay / 3_600_000)
  const partOfHour = (msOfDay % 3_600_000) / 3_600_000
  const partOfDay = (sum(hours.slice(0, hour)) + partOfHour * (hours[hour] ?? 1)) / sum(hours)
  return (annualM3 * (sum(weights.slice(0, dayOfYear)) + partOfDay * (weights[dayOfYear] ?? 1))) / total
}
