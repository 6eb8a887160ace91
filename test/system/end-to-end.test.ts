import type { components } from '@penstock/console/generated/api.ts'
import { afterEach, describe, expect, it } from 'vitest'
import { mosquitto } from '../support/processes.ts'
import { openWebhookReceiver, signatureIsRight } from '../support/webhook-receiver.ts'
import { type BrokerKind, until, World } from '../support/world.ts'

type Schemas = components['schemas']

const brokers: readonly BrokerKind[] = ['mosquitto-5', 'mosquitto-3.1.1', 'embedded']

/** Follows `/events` and keeps what came. */
function follow(world: World): { events: { name: string; data: unknown }[]; stop: () => void } {
  const stop = new AbortController()
  const events: { name: string; data: unknown }[] = []
  void (async () => {
    const response = await world.request('/api/v1/events', undefined, stop.signal)
    let rest = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) {
      const blocks = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        const name = /^event: ?(.*)$/m.exec(block)?.[1]
        const data = /^data: ?(.*)$/m.exec(block)?.[1]
        if (name && data) events.push({ name, data: JSON.parse(data) })
      }
    }
  })().catch(() => {})
  return { events, stop: () => stop.abort() }
}

describe.each(brokers)('a chlorine leak, over %s', broker => {
  let world: World | undefined
  afterEach(async () => {
    await world?.close()
    world = undefined
  })

  it.skipIf(broker !== 'embedded' && !mosquitto)(
    'comes from a register to the journal, the event stream and the webhook; its acknowledgement comes back to the list',
    async () => {
      const hook = await openWebhookReceiver()
      const city = await World.open({ broker, scenario: 'chlorine-leak', webhookUrl: hook.url })
      world = city
      await city.startAll()
      const stream = follow(city)

      const isLeak = (alarm: Schemas['Alarm']) =>
        alarm.source.startsWith('waterworks/cl2-') && alarm.source.endsWith('/concentration') && alarm.active
      const leak = await until('an active chlorine alarm in the list', 120_000, async () => {
        const { alarms } = await city.api<Schemas['AlarmList']>('/api/v1/alarms')
        return alarms.find(isLeak)
      })
      expect(leak.acknowledged).toBe(false)
      expect(Number(leak.value)).toBeGreaterThanOrEqual(leak.limit ?? Number.POSITIVE_INFINITY)
      expect(leak.text.zh).toMatch(/氯/)

      await until('the alarm in the journal', 5000, async () => {
        const { records } = await city.api<Schemas['JournalList']>('/api/v1/journal?limit=200')
        return records.find(record => record.kind === 'RAISE' && record.alarm === leak.id)
      })
      await until('the alarm on the event stream', 5000, () =>
        stream.events.find(
          event => event.name === 'alarms' && (event.data as Schemas['EventAlarms']).alarms.some(a => a.id === leak.id),
        ),
      )
      const message = await until('a signed message', 10_000, () =>
        hook.received.find(one => one.body.includes(leak.id)),
      )
      expect(signatureIsRight(message, city.webhookSecret)).toBe(true)

      // Acknowledge what is announced now; while the leak rises to the next level the answer may be 409, and one looks again.
      const acknowledged = await until('an acknowledged alarm', 30_000, async () => {
        const { alarms } = await city.api<Schemas['AlarmList']>('/api/v1/alarms')
        const now = alarms.find(alarm => alarm.id === leak.id)
        if (!now) return undefined
        if (now.acknowledged) return now
        const { occ, ann } = now
        const commandId = `test-${brokers.indexOf(broker)}-${occ}-${ann}`
        const path = `/api/v1/alarms/${encodeURIComponent(leak.id)}/acknowledge`
        const { status } = await city.request(path, { occ, ann, commandId })
        expect([200, 409]).toContain(status)
        return undefined
      })
      expect(acknowledged.acknowledgedBy).not.toBeNull()
      await until('the acknowledgement on the event stream', 5000, () =>
        stream.events.find(
          event =>
            event.name === 'alarms' &&
            (event.data as Schemas['EventAlarms']).alarms.some(alarm => alarm.id === leak.id && alarm.acknowledged),
        ),
      )
      stream.stop()
      await hook.close()
      for (const part of ['gateway', 'e01', 'e02']) expect(await city.running.get(part)?.stop()).toBe(0)
    },
    200_000,
  )
})
