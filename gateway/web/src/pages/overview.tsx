import { Alert } from 'antd'
import type { Me } from '../api/client.ts'
import type { Connection, Live } from '../api/live.ts'
import { useWords } from '../i18n/language.tsx'
import { AlarmList } from '../parts/alarm-list.tsx'
import { EdgeList } from '../parts/edge-list.tsx'
import { SiteCard } from '../parts/site-card.tsx'
import { useNow } from '../parts/use-now.ts'
import { mayAdopt, mayCommand } from '../roles.ts'

interface Props {
  readonly live: Live
  readonly connection: Connection
  readonly me: Me
  readonly reread: () => void
}

/** Everything at a glance: open alarms first, then sites with live values, then edges. */
export function Overview({ live, connection, me, reread }: Props) {
  const { t } = useWords()
  const now = useNow(live)
  const tags = [...live.tags.values()]
  const problems = live.status?.problems ?? []
  return (
    <main>
      {problems.length > 0 && (
        <Alert
          className="banner"
          type="warning"
          showIcon
          title={t('problems')}
          description={problems.map(problem => <div key={problem}>{problem}</div>)}
        />
      )}
      <section aria-labelledby="alarms">
        <h2 id="alarms">
          {t('alarms')} <span className="count">{live.alarms.size}</span>
        </h2>
        <AlarmList alarms={live.alarms.values()} now={now} mayCommand={mayCommand(me)} live={connection === 'live'} />
      </section>
      <section aria-labelledby="sites">
        <h2 id="sites">{t('sites')}</h2>
        {live.sites.length === 0 && <p className="quiet">{t('noSites')}</p>}
        <div className={`sites ${connection === 'live' ? '' : 'not-live'}`}>
          {live.sites.map(site => (
            <SiteCard key={site.id} site={site} tags={tags.filter(tag => tag.site === site.id)} now={now} />
          ))}
        </div>
      </section>
      <section aria-labelledby="edges">
        <h2 id="edges">{t('edges')}</h2>
        <div className={connection === 'live' ? '' : 'not-live'}>
          <EdgeList edges={live.edges.values()} now={now} mayAdopt={mayAdopt(me)} onChanged={reread} />
        </div>
      </section>
    </main>
  )
}
