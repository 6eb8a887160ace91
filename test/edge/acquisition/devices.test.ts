import { describeDevice } from '@penstock/edge/acquisition/devices.ts'
import { expect, it } from 'vitest'
import { siteOf } from './kit.ts'

const site = siteOf({
  scanClasses: { fast: 1000, normal: 5000, slow: 60_000 },
  channels: [{ id: 'bus', driver: 'modbus', host: '127.0.0.1' }],
  devices: [
    {
      site: 'waterworks',
      id: 'fm-1',
      channel: 'bus',
      unitId: 1,
      profile: 'mfe600c',
      scan: { total: 'fast', flow: 'slow' },
    },
  ],
})

function periods(timeFactor?: number) {
  const [config] = site.devices
  if (!config) throw new Error('no device')
  const { device, description } = describeDevice(site, config, timeFactor)
  const of = (tags: readonly { name: string; scanMs: number }[]) =>
    Object.fromEntries(tags.map(({ name, scanMs }) => [name, scanMs]))
  return { polled: of(device.tags), said: of(description.tags) }
}

it('reads as often as the scan classes say', () => {
  expect(periods().polled).toMatchObject({ total: 1000, flow: 60_000 })
  expect(periods().said).toMatchObject({ total: 1000, flow: 60_000 })
})

it('keeps pace with a clock that runs faster, down to 50 ms, and says the same in the birth', () => {
  expect(periods(10).polled).toMatchObject({ total: 100, flow: 6000 })
  expect(periods(60).polled).toMatchObject({ total: 50, flow: 1000 })
  expect(periods(60).said).toEqual(periods().said)
})

it('never reads less often because of the floor', () => {
  const quick = siteOf({
    scanClasses: { fast: 20, normal: 20, slow: 20 },
    channels: [{ id: 'bus', driver: 'modbus', host: '127.0.0.1' }],
    devices: [{ site: 'waterworks', id: 'fm-1', channel: 'bus', unitId: 1, profile: 'mfe600c' }],
  })
  const [config] = quick.devices
  if (!config) throw new Error('no device')
  const { device } = describeDevice(quick, config, 60)
  expect(new Set(device.tags.map(tag => tag.scanMs))).toEqual(new Set([20]))
})
