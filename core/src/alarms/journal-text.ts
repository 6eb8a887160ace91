import type { CompiledLevel, CompiledRule } from './compile.ts'
import { formatDuration } from './duration.ts'
import { fillText, formatPair } from './text.ts'

/** Texts of an alarm in both languages, with ids in place of names: what is journaled never changes when something is renamed. */
export function journalText(
  rule: CompiledRule,
  source: string,
  level: CompiledLevel | null,
  value: number | null,
  reason: string | null,
): { zh: string; en: string } {
  const [shownValue, shownLimit] = formatPair(value, level?.limit ?? null)
  const part = (place: number): string => (rule.source === 'edge' ? '' : (source.split('/')[place] ?? ''))
  const say = (language: 'zh' | 'en', name: string): string | undefined => {
    switch (name) {
      case 'tag':
        return source
      case 'site':
        return part(0)
      case 'device':
        return part(1)
      case 'tag.name':
        return part(2)
      case 'edge':
        return rule.source === 'edge' ? source : ''
      case 'value':
        return shownValue
      case 'limit':
        return shownLimit
      case 'level':
        return level?.title?.[language] ?? level?.name ?? ''
      case 'unit':
        return rule.unit ?? ''
      case 'quality':
      case 'reason':
        return reason ?? ''
      case 'age':
        return formatDuration(level?.afterMs ?? 0)
    }
    return undefined
  }
  return {
    zh: fillText(rule.text.zh, name => say('zh', name)),
    en: fillText(rule.text.en, name => say('en', name)),
  }
}
