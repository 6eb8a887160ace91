import { Link } from 'react-router'
import type { Site, Tag } from '../api/client.ts'
import { useWords } from '../i18n/language.tsx'
import { tagTexts } from '../i18n/texts.ts'
import { QualityMark } from './quality-mark.tsx'
import { unitText, valueText } from './value.ts'

interface Props {
  readonly site: Site
  readonly tags: readonly Tag[]
  readonly now: number
}

/** A site with the measured values of its devices; states and codes are on the device's page. */
export function SiteCard({ site, tags, now }: Props) {
  const { name } = useWords()
  const ids = [...new Set([...site.devices.map(device => device.id), ...tags.map(tag => tag.device)])]
  return (
    <section className="site" aria-label={name(site.name, site.id)}>
      <header>
        <h3>{name(site.name, site.id)}</h3>
        <span className="quiet">{name(site.groupName, site.group ?? '')}</span>
      </header>
      {ids.map(id => (
        <DeviceRow
          key={id}
          site={site.id}
          id={id}
          device={site.devices.find(device => device.id === id)}
          tags={tags.filter(tag => tag.device === id)}
          now={now}
        />
      ))}
    </section>
  )
}

interface RowProps {
  readonly site: string
  readonly id: string
  readonly device: Site['devices'][number] | undefined
  readonly tags: readonly Tag[]
  readonly now: number
}

function DeviceRow({ site, id, device, tags, now }: RowProps) {
  const { name, t } = useWords()
  const measured = tags.filter(tag => tag.unit !== null && isMain(tag))
  return (
    <div className="device">
      <Link className="device-name" to={`/devices/${site}/${id}`}>
        {name(device?.name ?? tags[0]?.deviceName ?? null, id)}
      </Link>
      <div className="device-values">
        {measured.length === 0 && <span className="quality quality-bad">{t('unknown')}</span>}
        {measured.map(tag => (
          <TagValue key={tag.tag} tag={tag} now={now} />
        ))}
      </div>
    </div>
  )
}

const mainTags = ['flow', 'total', 'level', 'temperature', 'concentration']

const isMain = (tag: Tag): boolean => mainTags.includes(tag.name)

function TagValue({ tag, now }: { readonly tag: Tag; readonly now: number }) {
  const { of, age } = useWords()
  return (
    <span className={`tag-value value-${tag.quality}`} data-tag={tag.tag}>
      <span className="quiet">{of(tagTexts, tag.name)}</span>
      <span className="number">{`${valueText(tag.value, tag)} ${unitText(tag.unit)}`}</span>
      <QualityMark tag={tag} />
      <span className="quiet age">{age(now - tag.sourceTimestamp)}</span>
    </span>
  )
}
