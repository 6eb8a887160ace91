import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from 'react'
import { texts } from './texts.ts'

export type Language = 'zh' | 'en'
type Pair = readonly [zh: string, en: string]

export interface Words {
  readonly language: Language
  readonly setLanguage: (language: Language) => void
  /** A text of the console, `{n}` filled in. */
  readonly t: (key: keyof typeof texts, values?: Readonly<Record<string, string | number>>) => string
  /** A text of a table; what is not in it is shown as it is. */
  readonly of: (table: Readonly<Record<string, Pair>>, key: string) => string
  /** A text of the gateway. */
  readonly name: (text: { readonly zh: string; readonly en: string } | null, otherwise: string) => string
  /** Date and time in Asia/Shanghai. */
  readonly time: (ms: number) => string
  readonly age: (ms: number) => string
}

const Context = createContext<Words | null>(null)
const storageKey = 'penstock.language'

export function LanguageProvider({ children }: { readonly children: ReactNode }) {
  const [language, setLanguage] = useState<Language>(localStorage.getItem(storageKey) === 'en' ? 'en' : 'zh')
  useEffect(() => {
    localStorage.setItem(storageKey, language)
    document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
  }, [language])
  const words = useMemo(() => wordsOf(language, setLanguage), [language])
  useEffect(() => {
    document.title = words.t('title')
  }, [words])
  return <Context value={words}>{children}</Context>
}

export function useWords(): Words {
  const words = useContext(Context)
  if (!words) throw new Error('useWords needs a LanguageProvider')
  return words
}

function wordsOf(language: Language, setLanguage: (language: Language) => void): Words {
  const index = language === 'zh' ? 0 : 1
  const format = new Intl.DateTimeFormat('sv-SE', {
    timeZone: 'Asia/Shanghai',
    dateStyle: 'short',
    timeStyle: 'medium',
  })
  return {
    language,
    setLanguage,
    t: (key, values = {}) => texts[key][index].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? '')),
    of: (table, key) => table[key]?.[index] ?? key,
    name: (text, otherwise) => text?.[language] ?? otherwise,
    time: ms => format.format(ms),
    age: ms => ageText(ms, language),
  }
}

const steps = [
  { ms: 86_400_000, zh: '天', en: 'd' },
  { ms: 3_600_000, zh: '小时', en: 'h' },
  { ms: 60_000, zh: '分', en: 'min' },
  { ms: 1000, zh: '秒', en: 's' },
] as const

function ageText(ms: number, language: Language): string {
  const step = steps.find(candidate => Math.abs(ms) >= candidate.ms) ?? steps[3]
  return `${Math.floor(Math.max(0, ms) / step.ms)} ${step[language]}`
}
