import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { formatState, parseState } from '@penstock/core/sparkplug/state.ts'
import {
  deviceCommandFilter,
  deviceTopic,
  deviceVerbs,
  groupFilter,
  nodeTopic,
  nodeVerbs,
  parseTopic,
  stateTopic,
} from '@penstock/core/sparkplug/topics.ts'
import { describe, expect, test } from 'vitest'

describe('topics', () => {
  test.each(nodeVerbs)('%s of a node, there and back', verb => {
    expect(nodeTopic('320706', verb, 'e01')).toBe(`spBv1.0/320706/${verb}/e01`)
    expect(parseTopic(`spBv1.0/320706/${verb}/e01`)).toEqual({ kind: 'node', group: '320706', verb, edge: 'e01' })
    expect(parseTopic(`spBv1.0/320706/${verb}/e01/fm-1`)).toBeNull()
  })

  test.each(deviceVerbs)('%s of a device, there and back', verb => {
    const topic = deviceTopic('海州区', verb, 'e01', 'waterworks:fm-1')
    expect(topic).toBe(`spBv1.0/海州区/${verb}/e01/waterworks:fm-1`)
    expect(parseTopic(topic)).toEqual({ kind: 'device', group: '海州区', verb, edge: 'e01', device: 'waterworks:fm-1' })
    expect(parseTopic(`spBv1.0/海州区/${verb}/e01`)).toBeNull()
  })

  test('state of a host', () => {
    expect(stateTopic('penstock')).toBe('spBv1.0/STATE/penstock')
    expect(parseTopic('spBv1.0/STATE/penstock')).toEqual({ kind: 'state', host: 'penstock' })
    expect(parseTopic('STATE/penstock')).toBeNull()
    expect(parseTopic('spBv1.0/STATE/NDATA/e01')).toBeNull()
  })

  test.each([
    '',
    '/',
    'spBv1.0',
    'spBv1.0/g',
    'spBv1.0/g/NDATA',
    'spBv1.0/g/NDATA/',
    'spBv1.0//NDATA/e',
    'spBv1.0/g/DDATA/e/',
    'spBv1.0/g/DDATA/e/d/x',
    'spBv1.0/g/ndata/e',
    'spBv1.0/g/toString/e',
    'spAv1.0/g/NDATA/e',
    'spBv1.0/g/NDATA/+',
    'spBv1.0/STATE/#',
  ])('"%s" is not one', topic => {
    expect(parseTopic(topic)).toBeNull()
  })

  test.each(['', 'a/b', 'a+', '#', 'a\0'])('an id "%s" cannot stand in a topic', id => {
    for (const make of [
      () => nodeTopic(id, 'NDATA', 'e'),
      () => nodeTopic('g', 'NDATA', id),
      () => deviceTopic('g', 'DDATA', 'e', id),
      () => stateTopic(id),
      () => groupFilter(id),
      () => deviceCommandFilter('g', id),
    ]) {
      expect(make).toThrow(PenstockError)
    }
  })

  test('a group may not be called STATE', () => {
    expect(() => nodeTopic('STATE', 'NDATA', 'e')).toThrow(PenstockError)
  })

  test('filters', () => {
    expect(groupFilter('320706')).toBe('spBv1.0/320706/#')
    expect(deviceCommandFilter('320706', 'e01')).toBe('spBv1.0/320706/DCMD/e01/+')
  })
})

describe('STATE', () => {
  const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

  test('there and back', () => {
    const state = { online: true, timestamp: 1_700_000_000_123 }
    expect(new TextDecoder().decode(formatState(state))).toBe('{"online":true,"timestamp":1700000000123}')
    expect(parseState(formatState(state))).toEqual(state)
  })

  test('unknown members, white space, a timestamp in quotes or with a fraction', () => {
    expect(parseState(utf8(' {"timestamp": "17", "online":false, "bdSeq":3}\n'))).toEqual({
      online: false,
      timestamp: 17,
    })
    expect(parseState(utf8('{"online":true,"timestamp":1700000000123.5}'))).toEqual({
      online: true,
      timestamp: 1_700_000_000_123,
    })
  })

  test.each([
    'ONLINE',
    'OFFLINE',
    '',
    'null',
    '[]',
    '{}',
    '{"online":true}',
    '{"online":"true","timestamp":1}',
    '{"online":true,"timestamp":-1}',
    '{"online":true,"timestamp":1e300}',
    '{"online":true,"timestamp":null}',
    '{"online":true,"timestamp":"1e3"}',
    `{"online":true,"timestamp":1,"x":"${'x'.repeat(5000)}"}`,
  ])('%s is none', text => {
    expect(parseState(utf8(text))).toBeNull()
  })

  test('bytes that are not UTF-8 are none', () => {
    expect(parseState(new Uint8Array([0xff, 0xfe, 0x00]))).toBeNull()
  })
})
