import { dayProfiles, demandM3PerHour, yearToDateM3 } from '@penstock/simulator/plant/day-profile.ts'
import { describe, expect, it } from 'vitest'

const shanghai = (text: string): number => Date.parse(`${text}+08:00`)
const hourMs = 3_600_000

describe.each(dayProfiles)('the profile %s', profile => {
  it('gives the annual volume over the calendar year of Asia/Shanghai', () => {
    let sum = 0
    for (let at = shanghai('2026-01-01T00:00:00'); at < shanghai('2027-01-01T00:00:00'); at += hourMs) {
      sum += demandM3PerHour(profile, 365_000, at)
    }
    expect(sum).toBeCloseTo(365_000, 3)
  })

  it('has counted to any instant what the demand adds up to', () => {
    const end = shanghai('2026-08-05T13:00:00')
    let sum = 0
    for (let at = shanghai('2026-01-01T00:00:00'); at < end; at += hourMs) sum += demandM3PerHour(profile, 1e6, at)
    expect(yearToDateM3(profile, 1e6, end)).toBeCloseTo(sum, 3)
    expect(yearToDateM3(profile, 1e6, shanghai('2026-01-01T00:00:00'))).toBe(0)
    expect(yearToDateM3(profile, 1e6, shanghai('2026-12-31T23:59:59.999'))).toBeCloseTo(1e6, 0)
  })
})

it('takes most of the irrigation in June to September', () => {
  const summer =
    yearToDateM3('irrigation', 100, shanghai('2026-10-01T00:00:00')) -
    yearToDateM3('irrigation', 100, shanghai('2026-06-01T00:00:00'))
  expect(summer).toBeGreaterThan(83)
  expect(summer).toBeLessThan(87)
})

it('lets the flat user of 103 500 m³ cross 100 000 m³ on 19 December', () => {
  const at = shanghai('2026-12-19T15:46:00')
  expect(yearToDateM3('flat', 103_500, at - 60_000)).toBeLessThan(100_000)
  expect(yearToDateM3('flat', 103_500, at + 60_000)).toBeGreaterThan(100_000)
})

it('moves a town over the day: little at night, most in the evening', () => {
  const at = (hour: string): number => demandM3PerHour('summer-peak', 8760, shanghai(`2026-07-10T${hour}:00:00`))
  expect(at('03')).toBeLessThan(0.6 * at('12'))
  expect(at('19')).toBeGreaterThan(at('12'))
})
