import { useEffect, useState } from 'react'
import { Link, useParams } from 'react-router'
import { ApiError, answer, client, type Device, type Diagnosis, type Me, type Tag } from '../api/client.ts'
import type { Connection, Live } from '../api/live.ts'
import { useWords } from '../i18n/language.tsx'
import { diagnosisTexts, reasonTexts, tagTexts } from '../i18n/texts.ts'
import { AlarmList } from '../parts/alarm-list.tsx'
import { InhibitControl } from '../parts/inhibit-control.tsx'
import { QualityMark } from '../parts/quality-mark.tsx'
import { useNow } from '../parts/use-now.ts'
import { unitText, valueText } from '../parts/value.ts'
import { mayCommand } from '../roles.ts'

interface Props {
  readonly live: Live
  readonly connection: Connection
  readonly me: Me
}

const refreshMs = 5000

/** One device: its tags, and why a tag is bad: the last request and answer, the counters. */
export function DevicePage({ live, connection, me }: Props) {
  const { site = '', device = '' } = useParams()
  const { t, name } = useWords()
  const now = useNow(live)
  const { found, error, reread } = useDevice(site, device)
  if (error) {
    return (
      <main>
        <p>{error.status === 404 ? t('noDevice') : error.message}</p>
        <Link to="/">{t('back')}</Link>
      </main>
    )
  }
  if (!found) return <main className="quiet">{t('loading')}</main>
  const tags = found.tags.map(tag => live.tags.get(tag.tag) ?? tag)
  const alarms = [...live.alarms.values()].filter(alarm => alarm.site === site && alarm.device === device)
  return (
    <main>
      <p>
        <Link to="/">{t('back')}</Link>
      </p>
      <h2>{`${name(found.siteName, site)} · ${name(found.name, device)}`}</h2>
      <p className="quiet">{`${site}/${device}${found.area ? ` · ${t('area')} ${found.area}` : ''}`}</p>
      {alarms.length > 0 && (
        <AlarmList alarms={alarms} now={now} mayCommand={mayCommand(me)} live={connection === 'live'} />
      )}
      {mayCommand(me) && <InhibitControl device={found} now={now} onChanged={reread} />}
      <WhyBad tags={tags} edge={found.edge} />
      <TagTable tags={tags} now={now} stale={connection !== 'live'} />
      <h3>{t('diagnosis')}</h3>
      {found.diagnosis ? (
        <DiagnosisFacts diagnosis={found.diagnosis} now={now} />
      ) : (
        <p className="quiet">{t('noDiagnosis')}</p>
      )}
    </main>
  )
}

function useDevice(site: string, device: string) {
  const [found, setFound] = useState<Device | null>(null)
  const [error, setError] = useState<ApiError | null>(null)
  const [round, setRound] = useState(0)
  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` asks for another reading
  useEffect(() => {
    let gone = false
    const read = () =>
      answer(client.GET('/api/v1/devices/{site}/{device}', { params: { path: { site, device } } })).then(
        next => {
          if (gone) return
          setFound(next)
          setError(null)
        },
        failure => {
          if (!gone && failure instanceof ApiError) setError(failure)
        },
      )
    void read()
    const timer = setInterval(() => void read(), refreshMs)
    return () => {
      gone = true
      clearInterval(timer)
    }
  }, [site, device, round])
  return { found, error, reread: () => setRound(count => count + 1) }
}

/** The reasons of the bad tags, in words, once each. */
function WhyBad({ tags, edge }: { readonly tags: readonly Tag[]; readonly edge: Device['edge'] }) {
  const { t, of } = useWords()
  const reasons = new Map<string, string[]>()
  for (const tag of tags) {
    if (tag.quality === 'bad' && tag.reason)
      reasons.set(tag.reason, [...(reasons.get(tag.reason) ?? []), of(tagTexts, tag.name)])
  }
  if (reasons.size === 0) return null
  return (
    <section className="why" aria-label={t('whyBad')}>
      <h3>{t('whyBad')}</h3>
      <ul>
        {[...reasons].map(([reason, names]) => (
          <li key={reason}>
            <strong>{of(reasonTexts, reason)}</strong>
            {`: ${names.join(', ')}`}
            {reason === 'edge-offline' && edge ? ` (${edge.edge})` : ''}
          </li>
        ))}
      </ul>
    </section>
  )
}

function TagTable({
  tags,
  now,
  stale,
}: {
  readonly tags: readonly Tag[]
  readonly now: number
  readonly stale: boolean
}) {
  const { t, of, age, time } = useWords()
  return (
    <div className="scroll">
      <table className={stale ? 'tags not-live' : 'tags'}>
        <thead>
          <tr>
            {([t('tag'), t('value'), t('quality'), t('age'), t('sourceTime'), t('lastGood')] as const).map(title => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {tags.map(tag => (
            <tr key={tag.tag} data-tag={tag.tag}>
              <th scope="row">
                {of(tagTexts, tag.name)}
                <div className="quiet small">{tag.name}</div>
              </th>
              <td className="number">{`${valueText(tag.value, tag)} ${unitText(tag.unit)}`}</td>
              <td>
                <QualityMark tag={tag} showGood />
              </td>
              <td className="age">{age(now - tag.sourceTimestamp)}</td>
              <td>{time(tag.sourceTimestamp)}</td>
              <td className="quiet">
                {tag.quality === 'bad' && tag.lastGood
                  ? `${valueText(tag.lastGood.value, tag)} ${unitText(tag.unit)} · ${age(now - tag.lastGood.sourceTimestamp)}`
                  : ''}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function DiagnosisFacts({ diagnosis, now }: { readonly diagnosis: Diagnosis; readonly now: number }) {
  const { t, of, time, age } = useWords()
  const { lastRequest, lastAnswer, lastError, nextTryAt } = diagnosis
  return (
    <dl className="diagnosis">
      <dt>{t('address')}</dt>
      <dd>
        <code>{diagnosis.address}</code>
      </dd>
      <dt>{t('state')}</dt>
      <dd>{`${of(diagnosisTexts, diagnosis.state)} · ${t('since')} ${time(diagnosis.since)}`}</dd>
      <dt>{t('lastRequest')}</dt>
      <dd>
        {lastRequest ? (
          <Frame hex={lastRequest.hex} note={`${lastRequest.what} · ${age(now - lastRequest.at)}`} />
        ) : (
          t('none')
        )}
      </dd>
      <dt>{t('lastAnswer')}</dt>
      <dd>{lastAnswer ? <Frame hex={lastAnswer.hex} note={age(now - lastAnswer.at)} /> : t('none')}</dd>
      <dt>{t('lastError')}</dt>
      <dd>
        {lastError
          ? `${of(reasonTexts, lastError.reason)} · ${lastError.text} · ${age(now - lastError.at)}`
          : t('none')}
      </dd>
      {nextTryAt !== null && (
        <>
          <dt>{t('nextTry')}</dt>
          <dd>{time(nextTryAt)}</dd>
        </>
      )}
      <dt>{t('counters')}</dt>
      <dd className="counters">
        {Object.entries(diagnosis.counters).map(([counter, count]) => (
          <span key={counter}>
            {counter} <span className="number">{count}</span>
          </span>
        ))}
      </dd>
    </dl>
  )
}

function Frame({ hex, note }: { readonly hex: string; readonly note: string }) {
  return (
    <>
      <code className="hex">{hex}</code>
      <div className="quiet small">{note}</div>
    </>
  )
}
