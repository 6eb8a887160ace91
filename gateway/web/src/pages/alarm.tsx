import { useEffect, useState } from 'react'
import { Link, useParams } from 'react-router'
import { type Alarm, ApiError, answer, client, type JournalRecord, type Me } from '../api/client.ts'
import type { Connection, Live } from '../api/live.ts'
import { useWords } from '../i18n/language.tsx'
import { journalTexts } from '../i18n/texts.ts'
import { AlarmList } from '../parts/alarm-list.tsx'
import { useNow } from '../parts/use-now.ts'
import { numberText, unitText } from '../parts/value.ts'
import { mayCommand } from '../roles.ts'

interface Props {
  readonly live: Live
  readonly connection: Connection
  readonly me: Me
}

const recordsShown = 50

/** One alarm, where messages link to: how it stands, or how it last stood, and what the journal says of it. */
export function AlarmPage({ live, connection, me }: Props) {
  const { id = '' } = useParams()
  const { t, name } = useWords()
  const now = useNow(live)
  const open = live.alarms.get(id)
  // Read again whenever the open alarm changes or leaves the list.
  const { found, records, error } = useAlarm(id, open ? `${open.state} ${open.occ} ${open.ann}` : '')
  if (error) {
    return (
      <main>
        <p>{error.message}</p>
        <Link to="/">{t('back')}</Link>
      </main>
    )
  }
  if (records === null) return <main className="quiet">{t('loading')}</main>
  const alarm = open ?? found
  const [last] = records
  return (
    <main>
      <p>
        <Link to="/">{t('back')}</Link>
      </p>
      <h2>{name(alarm?.text ?? last?.text ?? null, id)}</h2>
      <p className="quiet">{id}</p>
      {alarm ? (
        <AlarmList alarms={[alarm]} now={now} mayCommand={mayCommand(me)} live={connection === 'live'} />
      ) : (
        <p>{t(last ? 'alarmGone' : 'noAlarm')}</p>
      )}
      <h3>{t('journal')}</h3>
      {records.length === 0 ? <p className="quiet">{t('noRecords')}</p> : <Records records={records} />}
    </main>
  )
}

function useAlarm(id: string, present: string) {
  const [found, setFound] = useState<Alarm | null>(null)
  const [records, setRecords] = useState<readonly JournalRecord[] | null>(null)
  const [error, setError] = useState<ApiError | null>(null)
  // biome-ignore lint/correctness/useExhaustiveDependencies: `present` asks for another reading
  useEffect(() => {
    let gone = false
    const read = async () => {
      const alarm = await answer(client.GET('/api/v1/alarms/{id}', { params: { path: { id } } })).catch(failure => {
        if (failure instanceof ApiError && failure.status === 404) return null
        throw failure
      })
      const query = { alarm: id.replace(/~\d+$/, ''), limit: recordsShown }
      const journal = await answer(client.GET('/api/v1/journal', { params: { query } }))
      if (gone) return
      setFound(alarm)
      setRecords(journal.records)
      setError(null)
    }
    read().catch(failure => {
      if (!gone && failure instanceof ApiError) setError(failure)
    })
    return () => {
      gone = true
    }
  }, [id, present])
  return { found, records, error }
}

function Records({ records }: { readonly records: readonly JournalRecord[] }) {
  const { of, name, time, t } = useWords()
  return (
    <ul className="records">
      {records.map(record => (
        <li key={record.seq}>
          <span className="number">{time(record.at)}</span>
          <strong>{of(journalTexts, record.kind)}</strong>
          <span>{`${t('occurrence', { n: record.occ ?? 0 })}${record.level ? ` · ${record.level}` : ''}`}</span>
          {record.value !== null && (
            <span className="number">{`${numberText(record.value)} ${unitText(record.unit)}`}</span>
          )}
          <span className="quiet">{[record.actor, record.comment, record.reason].filter(Boolean).join(' · ')}</span>
          {record.text && <span className="quiet">{name(record.text, '')}</span>}
        </li>
      ))}
    </ul>
  )
}
