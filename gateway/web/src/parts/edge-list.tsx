import { Button, message } from 'antd'
import { answer, client, type Edge, newCommandId } from '../api/client.ts'
import { useWords } from '../i18n/language.tsx'
import { problemTexts } from '../i18n/texts.ts'

interface Props {
  readonly edges: Iterable<Edge>
  readonly now: number
  readonly mayAdopt: boolean
  readonly onChanged: () => void
}

/** Edges with what delivery depends on: backlog, lag, clock skew, declared losses. */
export function EdgeList({ edges, now, mayAdopt, onChanged }: Props) {
  const { t } = useWords()
  const sorted = [...edges].sort((a, b) => a.edge.localeCompare(b.edge))
  if (sorted.length === 0) return <p className="quiet">{t('noEdges')}</p>
  return (
    <ul className="edges">
      {sorted.map(edge => (
        <EdgeRow key={edge.edge} edge={edge} now={now} mayAdopt={mayAdopt} onChanged={onChanged} />
      ))}
    </ul>
  )
}

function EdgeRow({ edge, now, mayAdopt, onChanged }: { readonly edge: Edge } & Omit<Props, 'edges'>) {
  const { t, of, name, age } = useWords()
  const [toast, holder] = message.useMessage()
  const backlog = edge.backlog && edge.backlog.alarm + edge.backlog.total + edge.backlog.raw
  const adopt = async () => {
    try {
      const params = { path: { group: edge.group, edge: edge.id } }
      // The box that the operator saw goes along: another one that came since is not adopted by mistake.
      const body = { hardwareId: edge.hardwareId, commandId: newCommandId() }
      await answer(client.POST('/api/v1/edges/{group}/{edge}/adopt', { params, body }))
      onChanged()
    } catch (error) {
      void toast.error(t('failed') + (error as Error).message)
    }
  }
  return (
    <li className={`edge ${edge.online ? '' : 'edge-offline'}`} data-edge={edge.edge}>
      {holder}
      <div className="edge-head">
        <strong>{edge.id}</strong>
        <span className="quiet">{name(edge.groupName, edge.group)}</span>
        <span className={edge.online ? 'quiet' : 'quality quality-bad'}>
          {`${edge.online ? t('online') : t('offline')} · ${age(now - edge.since)}`}
        </span>
        {edge.problem && <span className="quality quality-bad">{of(problemTexts, edge.problem)}</span>}
      </div>
      <dl className="facts">
        <Fact label={t('backlog')} value={backlog === null ? t('unknown') : `${backlog} ${t('batches')}`} />
        <Fact label={t('lag')} value={edge.lagMs === null ? t('unknown') : seconds(edge.lagMs)} />
        <Fact
          label={t('skew')}
          value={edge.skewMs === null ? t('unknown') : seconds(edge.skewMs)}
          warn={edge.skewMs !== null && Math.abs(edge.skewMs) > 2000}
        />
        <Fact label={t('lost')} value={`${edge.lostBatches} ${t('batches')}`} warn={edge.lostBatches > 0} />
      </dl>
      {!edge.registered && (
        <div className="adopt">
          <span>{t('unknownEdge')}</span>
          {mayAdopt && <Button onClick={() => void adopt()}>{t('adopt')}</Button>}
        </div>
      )}
    </li>
  )
}

function Fact({
  label,
  value,
  warn = false,
}: {
  readonly label: string
  readonly value: string
  readonly warn?: boolean
}) {
  return (
    <div>
      <dt>{label}</dt>
      <dd className={warn ? 'quality quality-uncertain' : ''}>{value}</dd>
    </div>
  )
}

/** Seconds with one digit; never "-0.0". */
const seconds = (ms: number): string => `${(Math.round(ms / 100) / 10 || 0).toFixed(1)} s`
