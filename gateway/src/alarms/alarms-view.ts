import { formatDuration } from '@penstock/core/alarms/duration.ts'
import type { AlarmView } from '@penstock/core/alarms/view.ts'
import type { AlarmBody, JournalBody } from '../http/contract/alarms.ts'
import type { AlarmsView, CommandOutcome } from '../http/parts.ts'
import type { AlarmService } from './alarm-service.ts'
import type { StoredRecord } from './journal.ts'

/** The alarms as the HTTP API shows and commands them. */
export function alarmsView(service: AlarmService): AlarmsView {
  const inhibitOf = (device: string | null) =>
    service.inhibits().find(inhibit => inhibit.device === device)?.until ?? null
  return {
    list: () => Array.from(service.all(), alarmBody),
    find: id => {
      const view = service.find(id)
      return view && alarmBody(view)
    },
    inhibits: () =>
      new Map(service.inhibits().map(({ device, until, reason, actor }) => [device, { until, reason, by: actor }])),
    journal: async query => {
      const { records, next } = await service.journal.query(query)
      return { records: records.map(journalBody), next }
    },
    submit: async (command, actor, commandId): Promise<CommandOutcome> => {
      const answer = await service.submit(command, actor, commandId)
      if (answer.ok) return { status: 'done' }
      if (answer.code === 'command_id_reused') return { status: 'id-used' }
      if (answer.code === 'unknown_alarm' || answer.code === 'unknown_device' || answer.code === 'unknown_occurrence') {
        return { status: 'unknown' }
      }
      const now = 'alarm' in command ? service.find(command.alarm) : undefined
      if (answer.code === 'stale_ack' && now) return { status: 'moved', occ: now.occ, ann: now.ann }
      if (answer.code === 'too_long' || answer.code === 'in_the_past') {
        return { status: 'inhibit-too-long', limit: formatDuration(service.maxInhibitMs) }
      }
      return { status: 'refused', reason: answer.code, text: refusals[answer.code] }
    },
    onChange: listener => service.onChange(listener),
  }

  function alarmBody(view: AlarmView): AlarmBody {
    return {
      id: view.id,
      rule: view.rule,
      source: view.source,
      site: view.site,
      device: view.device,
      priority: view.priority,
      state: view.state,
      health: view.health,
      active: view.active,
      acknowledged: view.acknowledged,
      inhibitedUntil: view.site && view.device ? inhibitOf(`${view.site}/${view.device}`) : null,
      occ: view.occ,
      ann: view.ann,
      level: view.level,
      value: view.value,
      limit: view.limit,
      unit: view.unit,
      raisedAt: view.activeSince,
      returnedAt: view.returnedAt,
      acknowledgedAt: view.ackedAt,
      acknowledgedBy: view.ackedBy,
      text: view.text,
      response: responseOf(view),
    }
  }
}

/** Why a command was not carried out, as the person who sent it reads it. */
const refusals = {
  stale_ack: 'the alarm was announced anew, or this occurrence is over; look at it again',
  active: 'its condition still lasts; a latch opens only after the return to normal',
  unacknowledged: 'acknowledge it first, then reset it',
  not_latched: 'it is not latched, there is nothing to reset',
  record_missing: 'its rule asks for a response record first',
  not_inhibited: 'the device is not inhibited (any more)',
} as const

/** Consequence and steps as one text in each language. */
function responseOf({ consequence, action }: AlarmView): AlarmBody['response'] {
  if (!consequence && !action) return null
  const join = (first: string | undefined, steps: readonly string[] | undefined) =>
    [first, ...(steps ?? []).map((step, index) => `${index + 1}. ${step}`)].filter(Boolean).join('\n')
  return { zh: join(consequence?.zh, action?.zh), en: join(consequence?.en, action?.en) }
}

function journalBody(record: StoredRecord): JournalBody {
  const { seq, kind, at, alarm, rule, source, before, after, reason, occ, ann, level, priority } = record
  const { value, limit, unit, late, actor, comment, text } = record
  return {
    ...{ seq, kind, at, alarm, rule, source, before, after, reason, occ, ann, level, priority },
    ...{ value, limit, unit, historic: late, actor, comment, text },
  }
}
