import type { WebhookStatus } from '@penstock/gateway/notify/webhook.ts'
import { problemsOf, type StatusParts } from '@penstock/gateway/status.ts'
import { expect, it } from 'vitest'

const now = Date.UTC(2026, 10, 21, 12)

const webhook = (more: Partial<WebhookStatus>): WebhookStatus => ({
  ...{ id: 'duty-room', url: 'https://duty.example/hook', state: 'idle', behind: 0 },
  ...{ delivered: 3, refused: 0, expired: 0, failures: 0, lastSuccessAt: now, problem: null, lastRefusal: null },
  ...more,
})

/** A gateway where nothing is wrong but its webhooks. */
function problems(webhooks: WebhookStatus[]): string[] {
  const parts = {
    ingest: { status: () => ({ host: { online: true }, inbox: { state: 'ok' }, consumers: [] }) },
    historian: { storageState: () => 'ok', problem: () => null },
    configuration: { status: [] },
    notifier: () => ({ status: () => webhooks }),
  }
  return problemsOf(parts as unknown as StatusParts, now)
}

it('tells for a day of a message that a receiver refused for good: somebody was not told', () => {
  expect(problems([webhook({})])).toEqual([])
  const refusal = (at: number) => webhook({ lastRefusal: { at, alarm: 'cl2.leak@a:b:c', problem: 'answered 400' } })
  expect(problems([refusal(now - 1000)])).toEqual([
    'webhook duty-room: refused the message of alarm cl2.leak@a:b:c for good at 2026-11-21T11:59:59.000Z: answered 400',
  ])
  expect(problems([refusal(now - 24 * 3_600_000 - 1)])).toEqual([])
})
