import type { Reason } from '../reading.ts'
import type { CompiledLevel, CompiledRule } from './compile.ts'
import { formatDuration } from './duration.ts'
import { fillText, formatPair } from './text.ts'

/** Texts of an alarm in both languages, with ids in place of names: what is journaled never changes when something is renamed. */
export function journalText(
  rule: CompiledRule,
  source: string,
  level: CompiledLevel | null,
  value: number | null,
  reason: Reason | string | null,
): { zh: string; en: string } {
  const [site = '', device = '', name = ''] = source.split('/')
  const [shownValue, shownLimit] = formatPair(value, level?.limit ?? null)
  const common = {
    tag: source,
    'tag.name': name,
    site: rule.source === 'edge' ? '' : site,
    device: rule.source === 'edge' ? '' : device,
    edge: rule.source === 'edge' ? source : '',
    value: shownValue,
    limit: shownLimit,
    unit: rule.unit ?? '',
    reason: reason ?? '',
    age: formatDuration(level?.afterMs ?? 0),
  }
  const inLanguage = (language: 'zh' | 'en') =>
    fillText(rule.text[language], {
      ...common,
      level: level?.title?.[language] ?? level?.name ?? '',
      quality: reason ?? '',
    })
  return { zh: inLanguage('zh'), en: inLanguage('en') }
}
