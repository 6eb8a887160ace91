import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { standings } from './ids.ts'

const parts = ['edge', 'host'] as const

const titlesOf = (part: string): string[] => {
  const text = readFileSync(join(import.meta.dirname, `${part}.test.ts`), 'utf8')
  const titles = [...text.matchAll(/\bit\(\s*title`([^`]*)`/g)].map(([, title]) => title ?? '')
  expect(titles, `${part}: every test has a title of ids`).toHaveLength(text.match(/\bit(?:\.\w+)?\(/g)?.length ?? 0)
  return titles
}

const namedIn = (part: string): string[] =>
  titlesOf(part).flatMap(title => {
    const ids = title.match(/tck-id-[\w-]+/g) ?? []
    expect(title.trim().startsWith('tck-id-'), title).toBe(true)
    return ids.map(id => id.slice('tck-id-'.length))
  })

describe('the list of requirements', () => {
  it('is as long as that of the specification 3.0.0', () => {
    expect(standings.size).toBe(299)
  })

  it.each(parts)('says "tested" of exactly what %s.test.ts names', part => {
    const tested = [...standings].flatMap(([id, standing]) =>
      standing.kind === 'tested' && standing.by === part ? id : [],
    )
    expect(namedIn(part).toSorted()).toEqual(tested.toSorted())
  })
})
