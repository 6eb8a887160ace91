import { systemClock, systemTicker } from '@penstock/core/runtime/clock.ts'
import { afterEach, expect, test } from 'vitest'
import { RawModbus } from '../../support/raw-modbus.ts'
import { open, Recorder, siteOf } from './kit.ts'

const cleanup: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of cleanup.splice(0).reverse()) await close()
})

test('zz', async () => {
  const server = await RawModbus.open()
  cleanup.push(() => server.close())
  server.set(1, 0, 0x449a, 0x5000, 5, 0x0012, 0xd687, 0x3e80, 0, 1)
  const sink = new Recorder()
  const site = siteOf({
    channels: [{ id: 'c', driver: 'modbus', host: '127.0.0.1', port: server.port, timeoutMs: 200 }],
    devices: [{ site: 'w', id: 'fm-1', channel: 'c', unitId: 1, profile: 'mfe600c' }],
    scanClasses: { fast: 50, normal: 50, slow: 100 },
  })
  const acquisition = await open(site, { clock: systemClock, ticker: systemTicker, sink })
  cleanup.push(() => acquisition.close())
  acquisition.start()
  await expect.poll(() => sink.readingsOf('w/fm-1/total').at(-1)?.value).toBe(1234567250n)
  console.log(acquisition.current('w:fm-1'), acquisition.diagnosis('w:fm-1'), sink.story, server.requests)
})
