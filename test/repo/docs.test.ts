import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { newCounters } from '@penstock/gateway/ingest/counters.ts'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

const filesBelow = (folder: string, suffix: RegExp): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && suffix.test(entry.name))
    .map(entry => relative(root, join(entry.parentPath, entry.name)))
    .filter(path => !path.includes('node_modules'))

const pages = [
  ...readdirSync(root).filter(name => /^(README.*|CONTRIBUTING)\.md$/.test(name)),
  ...filesBelow('docs', /\.md$/),
  'simulator/README.md',
]

/** Anything in a page that begins like a folder of this repository; `*` stands for some files of a folder. */
const pathPattern =
  /(?<![\w./{:@-])(?:core|edge|gateway|simulator|test|docs|demo|scripts|schemas|\.ci)\/(?:[\w*][\w.*-]*\/?)+/g

const pathsOf = (text: string): string[] => [...text.matchAll(pathPattern)].map(([path]) => path.replace(/[.,]+$/, ''))

const isThere = (path: string): boolean => existsSync(join(root, path.includes('*') ? dirname(path) : path))

/** The id that GitHub gives a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .trim()
    .replaceAll(' ', '-')

const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) => anchorOf(title ?? ''))

describe.each(pages)('%s', page => {
  const text = read(page)

  it('names files that exist', () => {
    expect(pathsOf(text).filter(path => !isThere(path))).toEqual([])
  })

  it('links to what exists', () => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link]) => link ?? [])
    const broken = links
      .filter(link => !/^[a-z]+:/.test(link))
      .filter(link => {
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? page : relative(root, join(root, dirname(page), path))
        if (!existsSync(join(root, target))) return true
        return anchor !== undefined && !anchorsOf(read(target)).includes(anchor)
      })
    expect(broken).toEqual([])
  })

  it('names scripts that package.json has', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
    const named = [...text.matchAll(/\bnpm (?:run (?:-s )?([a-z][\w:-]*)|(start|test)\b)/g)].map(
      ([, script, short]) => script ?? short ?? '',
    )
    expect(named.filter(name => scripts[name] === undefined)).toEqual([])
  })
})

describe('docs/operations.md', () => {
  const page = read('docs/operations.md')
  const snake = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
  const literals = (path: string, pattern: RegExp): string[] =>
    [...read(path).matchAll(pattern)].flatMap(([, name]) => name ?? [])
  const metrics = [
    ...literals('edge/src/metrics.ts', /name: '([a-z_]+)'/g).map(name => `penstock_edge_${name}`),
    ...literals('gateway/src/metrics.ts', /(?:gauge|counter)\(\s*'([a-z_]+)'/g).map(name => `penstock_${name}`),
    ...Object.keys(newCounters()).map(name => `penstock_ingest_${snake(name)}_total`),
  ]

  it('lists every metric, and none that is not there', () => {
    expect(metrics.length).toBeGreaterThan(60)
    const listed = new Set(page.match(/\bpenstock_[a-z_]+/g))
    expect(metrics.filter(name => !listed.has(name))).toEqual([])
    expect([...listed].filter(name => !metrics.includes(name))).toEqual([])
  })

  it('quotes messages as the programs write them', () => {
    const [, table = ''] = page.split('## What to do when')
    const quoted = [...table.matchAll(/^\| `([^`]+)`/gm)].flatMap(([, message]) => message ?? [])
    const sources = ['core', 'edge', 'gateway'].flatMap(part => filesBelow(`${part}/src`, /\.ts$/)).map(read)
    expect(quoted.length).toBeGreaterThan(20)
    expect(quoted.filter(message => !sources.some(source => source.includes(message)))).toEqual([])
  })
})
