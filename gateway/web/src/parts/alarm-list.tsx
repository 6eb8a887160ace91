import { Button, message } from 'antd'
import { useState } from 'react'
import { Link } from 'react-router'
import { type Alarm, ApiError, answer, client, newCommandId } from '../api/client.ts'
import { useWords } from '../i18n/language.tsx'
import { priorityTexts, stateTexts } from '../i18n/texts.ts'
import { numberText, unitText } from './value.ts'

const order = ['critical', 'high', 'medium', 'low']

const rank = (alarm: Alarm): number => (alarm.acknowledged ? 10 : 0) + order.indexOf(alarm.priority)

interface Props {
  readonly alarms: Iterable<Alarm>
  readonly now: number
  readonly mayCommand: boolean
  readonly live: boolean
}

/** Open alarms, the most urgent unacknowledged ones first. */
export function AlarmList({ alarms, now, mayCommand, live }: Props) {
  const { t } = useWords()
  const sorted = [...alarms].sort((a, b) => rank(a) - rank(b) || (b.raisedAt ?? 0) - (a.raisedAt ?? 0))
  if (sorted.length === 0) return <p className="quiet">{t('noAlarms')}</p>
  return (
    <ul className="alarms">
      {sorted.map(alarm => (
        <AlarmRow key={alarm.id} alarm={alarm} now={now} mayCommand={mayCommand} live={live} />
      ))}
    </ul>
  )
}

function AlarmRow({ alarm, now, mayCommand, live }: { readonly alarm: Alarm } & Omit<Props, 'alarms'>) {
  const { t, of, name, time, age } = useWords()
  const [busy, setBusy] = useState(false)
  const [toast, holder] = message.useMessage()

  const act = async (what: 'acknowledge' | 'reset') => {
    setBusy(true)
    const params = { path: { id: alarm.id } }
    try {
      // What the operator saw goes along: an alarm that was announced anew since is not acknowledged.
      if (what === 'acknowledge') {
        const body = { occ: alarm.occ, ann: alarm.ann, commandId: newCommandId() }
        await answer(client.POST('/api/v1/alarms/{id}/acknowledge', { params, body }))
      } else {
        await answer(
          client.POST('/api/v1/alarms/{id}/reset', { params, body: { occ: alarm.occ, commandId: newCommandId() } }),
        )
      }
    } catch (error) {
      const stale = error instanceof ApiError && error.status === 409
      void toast.error(stale ? `${t('ackRefused')} (${error.message})` : t('failed') + (error as Error).message)
    } finally {
      setBusy(false)
    }
  }

  const latched = alarm.state === 'LATCH_ACK'
  return (
    <li
      className={`alarm priority-${alarm.priority} ${alarm.acknowledged ? 'acked' : 'unacked'}`}
      data-alarm={alarm.id}
    >
      {holder}
      <div className="alarm-main">
        <div className="alarm-head">
          <span className="priority">{of(priorityTexts, alarm.priority)}</span>
          <strong>{name(alarm.text, alarm.id)}</strong>
          <span className="alarm-state">{of(stateTexts, alarm.state)}</span>
          {alarm.health !== 'ok' && <span className="quality quality-bad">{`${t('health')}: ${alarm.health}`}</span>}
        </div>
        <div className="alarm-detail">
          {alarm.site && alarm.device ? (
            <Link to={`/devices/${alarm.site}/${alarm.device}`}>{alarm.source}</Link>
          ) : (
            <span>{alarm.source}</span>
          )}
          {alarm.value !== null && (
            <span className="number">
              {`${numberText(alarm.value)} ${unitText(alarm.unit)}`}
              {alarm.limit !== null && ` (${t('limit')} ${alarm.limit})`}
            </span>
          )}
          {alarm.raisedAt !== null && (
            <span>{`${t('raised')} ${time(alarm.raisedAt)} · ${age(now - alarm.raisedAt)}`}</span>
          )}
          {alarm.returnedAt !== null && <span>{`${t('returned')} ${time(alarm.returnedAt)}`}</span>}
          <span>{t('occurrence', { n: alarm.occ })}</span>
          {alarm.acknowledgedBy !== null && <span>{`${t('by')} ${alarm.acknowledgedBy}`}</span>}
        </div>
        {alarm.response && alarm.active && <div className="alarm-response">{name(alarm.response, '')}</div>}
      </div>
      {mayCommand && (!alarm.acknowledged || latched) && (
        <Button
          type={alarm.acknowledged ? 'default' : 'primary'}
          loading={busy}
          disabled={!live}
          onClick={() => void act(alarm.acknowledged ? 'reset' : 'acknowledge')}
        >
          {alarm.acknowledged ? t('reset') : t('acknowledge')}
        </Button>
      )}
    </li>
  )
}
