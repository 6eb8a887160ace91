import { formatSummary, summarise } from '@penstock/edge/check.ts'
import type { SiteFile } from '@penstock/edge/config/site-file.ts'
import { loadSiteFile } from '@penstock/edge/config/site-file.ts'
import { dbirthBytes, largestBirthBytes } from '@penstock/edge/uplink/births.ts'
import { expect, test } from 'vitest'
import { device, tag } from '../uplink/world.ts'

const demo = (): SiteFile => loadSiteFile('demo/e01.yaml')

test('requests a second follow from the scan classes and the planned blocks', () => {
  const site = demo()
  const one = { ...site, devices: site.devices.filter(({ id }) => id === 'fm-1').slice(0, 1) }
  const { channels } = summarise(one)
  const busy = channels.find(({ devices }) => devices === 1)
  const faster = {
    ...one,
    scanClasses: Object.fromEntries(Object.entries(one.scanClasses).map(([name, ms]) => [name, ms / 2])),
  }
  const twice = summarise(faster).channels.find(({ devices }) => devices === 1)
  expect(busy?.requestsPerSecond).toBeGreaterThan(0)
  expect(twice?.requestsPerSecond).toBeCloseTo((busy?.requestsPerSecond ?? 0) * 2)
})

test('the demonstration fits, and the summary says for how long it can go without a gateway', () => {
  const site = demo()
  const summary = summarise(site)
  expect(summary.devices).toBe(8)
  expect(summary.births.every(({ bytes }) => bytes < largestBirthBytes)).toBe(true)
  expect(formatSummary(site, summary)).toMatch(/holds at least \d+\.\d days without a gateway/)
})

test('a device whose birth exceeds 256 KiB is refused with the way out', () => {
  const site = demo()
  const [first] = site.devices
  const profile = site.profileOf.get(first?.profile ?? '')
  const [model] = profile?.tags ?? []
  if (!first || !profile || !model) throw new Error('the demonstration has no device')
  const tags = Array.from({ length: 2_500 }, (_, index) => ({ ...model, name: `a-rather-long-name-of-a-tag-${index}` }))
  const profileOf = new Map([[first.profile, { ...profile, tags, rules: [] }]])
  const text = /waterworks:fm-1: its birth takes \d+ KiB, more than 256 KiB; split the device/
  expect(() => summarise({ ...site, profileOf, devices: [{ ...first, scan: {}, tags: {} }] })).toThrow(text)
})

test('the size of a birth is that of its payload', () => {
  const small = dbirthBytes(device('d', [tag('a')]), 0)
  const large = dbirthBytes(
    device(
      'd',
      Array.from({ length: 101 }, (_, index) => tag(`a${index}`)),
    ),
    0,
  )
  expect((large - small) / 100).toBeGreaterThan(60)
  expect((large - small) / 100).toBeLessThan(200)
})
