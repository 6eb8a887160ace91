import type { Tag } from '../api/client.ts'
import { useWords } from '../i18n/language.tsx'
import { qualityTexts, reasonTexts } from '../i18n/texts.ts'

/** Quality in words; nothing for good, so that what is not good stands out. */
export function QualityMark({
  tag,
  showGood = false,
}: {
  readonly tag: Pick<Tag, 'quality' | 'reason'>
  readonly showGood?: boolean
}) {
  const { of } = useWords()
  if (tag.quality === 'good' && !showGood) return null
  const reason = tag.reason ? ` · ${of(reasonTexts, tag.reason)}` : ''
  return <span className={`quality quality-${tag.quality}`}>{of(qualityTexts, tag.quality) + reason}</span>
}
