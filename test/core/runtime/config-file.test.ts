import { Bytes, parseConfig } from '@penstock/core/runtime/config-file.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { nearest } from '@penstock/core/runtime/nearest.ts'
import { OneOf } from '@penstock/core/runtime/schema-parts.ts'
import { Type } from 'typebox'
import { describe, expect, it } from 'vitest'

const schema = Type.Object(
  {
    name: Type.String({ description: 'name of the thing' }),
    size: Bytes({ default: 1024, description: 'how large' }),
    mode: OneOf(['fast', 'slow'], { description: 'speed', default: 'fast' }),
    parts: Type.Array(
      Type.Object({ id: Type.String(), port: Type.Integer({ maximum: 65535 }) }, { additionalProperties: false }),
      { default: [] },
    ),
  },
  { additionalProperties: false },
)

function problems(text: string, environment: Record<string, string> = {}): string[] {
  try {
    parseConfig('thing.yaml', text, schema, { environment })
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'config-invalid') return error.message.split('\n')
    throw error
  }
  return []
}

describe('a configuration file', () => {
  it('is read with defaults, byte sizes and the environment filled in', () => {
    const text = 'name: ${WHO:-nobody}\nsize: 3MiB\nparts:\n  - id: "${ID}"\n    port: ${PORT}\n'
    const { value } = parseConfig('thing.yaml', text, schema, { environment: { ID: '0815', PORT: '1502' } })
    expect(value).toEqual({ name: 'nobody', size: 3 * 2 ** 20, mode: 'fast', parts: [{ id: '0815', port: 1502 }] })
  })

  it('names every problem at once with line and column, in the order of the file', () => {
    const text = [
      'nmae: pump',
      'mode: fsat',
      'size: 3 apples',
      'parts:',
      '  - { id: a, port: 99999, colour: red }',
    ].join('\n')
    expect(problems(text)).toEqual([
      'thing.yaml:1:1: "name" is missing (name of the thing); add it',
      'thing.yaml:1:1: unknown key "nmae"; did you mean "name"?',
      'thing.yaml:2:7: "fsat" is not allowed for "mode"; did you mean "fast"? write one of: fast, slow',
      'thing.yaml:3:7: "size" is "3 apples" (how large); write a whole number',
      'thing.yaml:5:20: "99999" is not allowed for "port": it must be <= 65535',
      'thing.yaml:5:27: unknown key "colour"; known here: id, port',
    ])
  })

  it('tells a key that stands twice, a broken line and a missing variable at their places', () => {
    expect(problems('name: a\nname: b\n')).toEqual([
      'thing.yaml:2:1: this key stands twice in the same block; keep one of them',
    ])
    expect(problems('name: [a\n')[0]).toMatch(/^thing\.yaml:\d+:\d+: not valid YAML/)
    expect(problems('name: ${NOBODY_SET_THIS}\n')).toEqual([
      'thing.yaml:1:7: the environment variable NOBODY_SET_THIS is not set; set it or write ${NOBODY_SET_THIS:-default}',
    ])
  })

  it('runs the semantic check on a file of the wrong shape too', () => {
    const check = (value: { name: string }, source: { fail(path: string[], text: string): void }) => {
      if (value.name === 'x') source.fail(['name'], 'not x')
    }
    expect(() => parseConfig('thing.yaml', 'name: x\nmode: 7\n', schema, { check })).toThrow(/1:7: not x\n.*2:7/s)
  })
})

describe('the nearest word', () => {
  it('is suggested only when it is near', () => {
    expect(nearest('unitid', ['unitId', 'profile'])).toBe('unitId')
    expect(nearest('6', ['4', '5'])).toBeNull()
    expect(nearest('temperature', ['flow', 'total'])).toBeNull()
  })
})
