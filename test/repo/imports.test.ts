import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')

/** part → parts that it may import (beside itself) */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: [],
  edge: ['core'],
  gateway: ['core'],
  simulator: ['core'],
}

/** Each protocol or client library is named in one file of a part. */
const oneFile: Readonly<Record<string, string>> = {
  mqtt: 'core/src/runtime/mqtt-link.ts',
}

const wallClock = 'core/src/runtime/clock.ts'

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map(entry => relative(root, join(entry.parentPath, entry.name)))
    .filter(path => !path.includes('node_modules'))
}

const importsOf = (text: string): string[] =>
  [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].flatMap(match => (match[1] ? [match[1]] : []))

describe.each(Object.keys(mayImport))('the part %s', part => {
  const files = sources(`${part}/src`)

  it('has source files', () => {
    expect(files.length).toBeGreaterThan(0)
  })

  it('imports no other part but those it may', () => {
    const wrong = files.flatMap(file =>
      importsOf(readFileSync(join(root, file), 'utf8'))
        .filter(name => {
          const other = /^@penstock\/(\w+)/.exec(name)?.[1]
          if (other) return other !== part && !mayImport[part]?.includes(other)
          return name.startsWith('.') && !relative(join(root, part), join(root, file, '..', name)).match(/^(?!\.\.)/)
        })
        .map(name => `${file} imports ${name}`),
    )
    expect(wrong).toEqual([])
  })

  it('names each protocol library in one file', () => {
    const wrong = files.flatMap(file =>
      importsOf(readFileSync(join(root, file), 'utf8'))
        .filter(name => oneFile[name] !== undefined && oneFile[name] !== file)
        .map(name => `${file} imports ${name}`),
    )
    expect(wrong).toEqual([])
  })

  it('takes its time from a clock or ticker', () => {
    const wrong = files
      .filter(file => file !== wallClock)
      .flatMap(file =>
        readFileSync(join(root, file), 'utf8')
          .split('\n')
          .flatMap((line, index) =>
            /\b(Date\.now|setTimeout|setInterval|performance\.now)\b/.test(line) && !/^\s*(\*|\/\/)/.test(line)
              ? [`${file}:${index + 1}`]
              : [],
          ),
      )
    expect(wrong).toEqual([])
  })
})
