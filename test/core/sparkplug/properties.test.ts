import type { TagDescription } from '@penstock/core/description.ts'
import { type Quality, type Reason, reasons } from '@penstock/core/reading.ts'
import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import type { Metric, PropertySet } from '@penstock/core/sparkplug/payload.ts'
import {
  birthProperties,
  qualityProperties,
  readDescription,
  readProperties,
  readQuality,
} from '@penstock/core/sparkplug/properties.ts'
import { birthMetric } from '@penstock/core/sparkplug/values.ts'
import { describe, expect, test } from 'vitest'

const flow: TagDescription = {
  name: 'flow',
  type: 'Float',
  class: 'raw',
  unit: 'm3/h',
  scanMs: 5000,
  deadband: 0.1,
  heartbeatMs: 60_000,
  resolution: null,
  modulus: null,
  min: -5,
  max: 5000,
}
const total: TagDescription = {
  ...flow,
  name: 'total',
  type: 'Int64',
  class: 'total',
  unit: 'm3',
  deadband: null,
  resolution: '0.001',
  modulus: '4294967296000',
  min: null,
  max: null,
}

const good = { quality: 'good', reason: null } as const
const sent = (metric: Metric): Metric => decodePayload(encodePayload({ metrics: [metric] })).metrics[0] ?? {}
const uncertain: readonly Reason[] = ['clock', 'inhibit', 'device-warning', 'frozen', 'foreign']

describe('description of a tag in a birth', () => {
  test.each([flow, total])('there and back', tag => {
    const properties = birthProperties({ site: 'waterworks', tag, retired: false }, good)
    const metric = sent(birthMetric(tag.type, null, { name: tag.name, alias: 1, properties }))
    expect(readDescription(tag.name, tag.type, metric.properties)).toEqual(tag)
    expect(readProperties(metric.properties)).toMatchObject({ site: 'waterworks', retired: false })
  })

  test('only what is known is sent', () => {
    const properties = birthProperties({ site: 'waterworks', tag: total, retired: false }, good)
    expect([...properties.keys()]).toEqual(['site', 'class', 'scanMs', 'heartbeatMs', 'unit', 'resolution', 'modulus'])
  })

  test('a retired tag', () => {
    const properties = birthProperties(
      { site: 'waterworks', tag: flow, retired: true },
      { quality: 'bad', reason: 'retired' },
    )
    const metric = sent(birthMetric('Float', null, { name: 'flow', alias: 1, properties }))
    expect(readProperties(metric.properties).retired).toBe(true)
    expect(readQuality(metric)).toEqual({ quality: 'bad', reason: 'retired' })
  })

  test('a foreign node, or nonsense: null, and no description', () => {
    const set: PropertySet = new Map([
      ['engUnit', { type: 12, wire: 'string', value: '°C' }],
      ['class', { type: 12, wire: 'string', value: 'urgent' }],
      ['scanMs', { type: 12, wire: 'string', value: '5000' }],
      ['min', { type: 3, wire: 'int', value: 4294967295 }],
      ['max', { type: 10, wire: 'double', value: Number.NaN }],
      ['resolution', { type: 12, wire: 'string', value: '1e-3' }],
      ['deadband', { type: 10, isNull: true }],
      ['retired', { type: 20, wire: 'set', value: new Map() }],
    ])
    expect(readProperties(set)).toEqual({
      site: null,
      class: null,
      unit: '°C',
      scanMs: null,
      deadband: null,
      heartbeatMs: null,
      resolution: null,
      modulus: null,
      min: -1,
      max: null,
      retired: false,
    })
    expect(readDescription('x', 'Double', set)).toBeNull()
    expect(readDescription('x', 'Double', undefined)).toBeNull()
  })
})

describe('quality', () => {
  test('good needs no property', () => {
    expect(qualityProperties(good)).toBeUndefined()
    expect(readQuality({ wire: 'int', value: 1 })).toEqual(good)
  })

  test.each(reasons)('%s, there and back', reason => {
    const quality: Quality = uncertain.includes(reason) ? 'uncertain' : 'bad'
    const properties = qualityProperties({ quality, reason })
    const metric = sent(birthMetric('Float', quality === 'bad' ? null : 5, { name: 'flow', properties }))
    expect(readQuality(metric)).toEqual({ quality, reason })
    // tck-id-payloads-propertyset-quality-value-type and -value
    expect(properties?.get('Quality')).toEqual({ type: 3, wire: 'int', value: quality === 'bad' ? 0 : 500 })
  })

  test('a reason that does not go with its quality is refused', () => {
    expect(() => qualityProperties({ quality: 'bad', reason: 'clock' })).toThrow(TypeError)
    expect(() => qualityProperties({ quality: 'uncertain', reason: 'timeout' })).toThrow(TypeError)
    expect(() => qualityProperties({ quality: 'bad', reason: null })).toThrow(TypeError)
  })

  const foreign = (code: number, said?: string): PropertySet => {
    const set = new Map<string, { type: number; wire: 'int' | 'string'; value: number | string }>([
      ['Quality', { type: 3, wire: 'int', value: code }],
    ])
    if (said !== undefined) set.set('reason', { type: 12, wire: 'string', value: said })
    return set
  }

  test.each<[number, string | undefined, Quality, Reason | null]>([
    [192, undefined, 'good', null],
    [216, undefined, 'good', null],
    [500, undefined, 'uncertain', 'foreign'],
    [500, 'because', 'uncertain', 'foreign'],
    [500, 'timeout', 'uncertain', 'foreign'],
    [64, undefined, 'uncertain', 'foreign'],
    [0, undefined, 'bad', 'device-fault'],
    [0, 'clock', 'bad', 'device-fault'],
    [0, 'timeout', 'bad', 'timeout'],
    [24, undefined, 'bad', 'device-fault'],
    [4294967295, undefined, 'bad', 'device-fault'],
    [256, undefined, 'bad', 'device-fault'],
  ])('Quality %s with reason %s beside a value is %s, %s', (code, said, quality, reason) => {
    expect(readQuality({ wire: 'int', value: 1, properties: foreign(code, said) })).toEqual({ quality, reason })
  })

  test('without a value it is bad, whatever the property says', () => {
    expect(readQuality({ isNull: true })).toEqual({ quality: 'bad', reason: 'not-read' })
    expect(readQuality({})).toEqual({ quality: 'bad', reason: 'not-read' })
    expect(readQuality({ isNull: true, properties: new Map() })).toEqual({ quality: 'bad', reason: 'not-read' })
    expect(readQuality({ isNull: true, properties: foreign(192) })).toEqual({ quality: 'bad', reason: 'device-fault' })
    expect(readQuality({ isNull: true, properties: foreign(500, 'clock') })).toMatchObject({ quality: 'bad' })
  })

  test('a Quality that is not a number is not good', () => {
    const set: PropertySet = new Map([['Quality', { type: 12, wire: 'string', value: 'GOOD' }]])
    expect(readQuality({ wire: 'int', value: 1, properties: set })).toEqual({ quality: 'bad', reason: 'device-fault' })
  })
})
