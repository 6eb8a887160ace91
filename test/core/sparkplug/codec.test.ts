import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { decodePayload, encodePayload } from '@penstock/core/sparkplug/codec.ts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeWithProtobufjs, encodeWithProtobufjs } from '../../support/sparkplug-schema.ts'
import { bare, payloads, toPlain } from './payloads.ts'

const numRuns = Number(process.env.PENSTOCK_RUNS ?? 300)
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))

describe('round trip', () => {
  test('every payload decodes to what was encoded', () => {
    fc.assert(
      fc.property(payloads, payload => {
        expect(bare(decodePayload(encodePayload(payload)))).toEqual(bare(payload))
      }),
      { numRuns },
    )
  })

  test('the same bytes as protobufjs, and its bytes decode to the same payload', () => {
    fc.assert(
      fc.property(payloads, payload => {
        const theirs = encodeWithProtobufjs(toPlain(payload))
        expect(Buffer.from(encodePayload(payload)).toString('hex')).toBe(Buffer.from(theirs).toString('hex'))
        expect(bare(decodePayload(theirs))).toEqual(bare(payload))
      }),
      { numRuns },
    )
  })

  test('a message longer than 127, 16383 and 2 MiB gets the longer length in front', () => {
    for (const length of [120, 130, 16_380, 16_390, 2 ** 21 + 5]) {
      const payload = { metrics: [{ name: 'x'.repeat(length), wire: 'string' as const, value: 'é'.repeat(length) }] }
      const bytes = encodePayload(payload)
      expect(decodePayload(bytes).metrics[0]).toMatchObject(payload.metrics[0] ?? {})
      expect(Buffer.compare(bytes, encodeWithProtobufjs(toPlain(payload)))).toBe(0)
    }
  })
})

describe('what other codecs get wrong', () => {
  test('zero, false and empty are on the wire: seq 0, alias 0, false, ""', () => {
    const bytes = encodePayload({
      seq: 0,
      metrics: [{ alias: 0, isHistorical: false, wire: 'boolean', value: false }],
      uuid: '',
    })
    expect(decodeWithProtobufjs(bytes)).toEqual({
      seq: '0',
      uuid: '',
      metrics: [{ alias: '0', isHistorical: false, boolean: false, value: 'boolean' }],
    })
  })

  test('is_historical, is_transient and is_null survive', () => {
    const metric = { alias: 3, isHistorical: true, isTransient: true, isNull: true }
    expect(decodePayload(encodePayload({ metrics: [metric] })).metrics[0]).toMatchObject(metric)
  })

  test('unknown fields of every wire type are skipped, in the payload and in a metric', () => {
    // field 100 as varint, 64 bit, bytes, 32 bit; then metric { field 100 varint, alias 7 }
    const bytes = hex('a0 06 05  a1 06 0102030405060708  a2 06 02 ffff  a5 06 01020304  12 05 a0 06 05 10 07')
    expect(decodePayload(bytes).metrics).toMatchObject([{ alias: 7 }])
  })

  test('an unsigned number in ten bytes is cut to 32 bits, as a negative int32 is sent by some', () => {
    // int_value −1 as a sign-extended varint
    const bytes = hex('12 0b 50 ff ff ff ff ff ff ff ff ff 01')
    expect(decodePayload(bytes).metrics[0]).toMatchObject({ wire: 'int', value: 4294967295 })
  })

  test('a timestamp beyond all dates is held at the last one', () => {
    const bytes = hex('08 ff ff ff ff ff ff ff ff ff 01')
    const { timestamp } = decodePayload(bytes)
    expect(new Date(timestamp ?? 0).getTime()).toBe(8.64e15)
  })

  test('decoded bytes do not hold the packet', () => {
    const packet = encodePayload({ metrics: [], body: new Uint8Array([1, 2, 3]) })
    const { body } = decodePayload(packet)
    expect(body?.buffer.byteLength).toBe(3)
  })
})

describe('hostile input', () => {
  const refused = (bytes: Uint8Array, problem: RegExp): void => {
    const attempt = () => decodePayload(bytes)
    expect(attempt).toThrow(PenstockError)
    expect(attempt).toThrow(problem)
  }

  test('cut off, overlong, out of range', () => {
    refused(hex('08'), /cut off/)
    refused(hex('08 80'), /cut off/)
    refused(hex('12 05 10 01'), /length beyond the end/)
    refused(hex('12 ff ff ff ff 0f'), /length beyond the end/)
    refused(hex('12 ff ff ff ff ff ff ff ff ff 01'), /length beyond the end/)
    refused(hex('08 ff ff ff ff ff ff ff ff ff ff 01'), /beyond 64 bits/)
    refused(hex('08 ff ff ff ff ff ff ff ff ff 7f'), /beyond 64 bits/)
    refused(hex('00 01'), /field number/)
    refused(hex('ff ff ff ff ff ff ff ff ff 01'), /field number/)
    refused(hex('12 0a 10 ff ff ff ff ff ff ff ff 7f'), /alias/)
  })

  test('a length of an inner message may not reach beyond the outer one', () => {
    // metric of 3 bytes with a name of 4, though the payload is long enough
    refused(hex('12 03 0a 04 41 41 41 41 41'), /length beyond the end/)
  })

  test('known fields in a wrong wire type, groups and reserved wire types', () => {
    refused(hex('0a 01 41'), /field 1 with wire type 2/)
    refused(hex('12 02 50 80'), /cut off/)
    refused(hex('12 05 55 00 00 00 00'), /field 10 with wire type 5/)
    refused(hex('a3 06 a4 06'), /wire type 3/)
    refused(hex('a6 06'), /wire type 6/)
  })

  test('a property set with another number of keys than of values', () => {
    refused(hex('12 05 4a 03 0a 01 41'), /number of keys/)
  })

  const nested = (depth: number, inner: (bytes: Uint8Array) => Uint8Array): Uint8Array => {
    let bytes: Uint8Array = new Uint8Array()
    for (let level = 0; level < depth; level++) bytes = inner(bytes)
    return bytes
  }
  const wrap = (key: number[], inside: Uint8Array): Uint8Array => {
    const length: number[] = []
    let rest = inside.length
    for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128)
    return Buffer.concat([Buffer.from([...key, ...length, rest]), inside])
  }

  test('templates and property sets nested a thousand times deep', () => {
    // metric { template { metric { … } } } and property set { value { set { … } } }
    const templates = nested(1000, inside => wrap([0x12], wrap([0x92, 0x01], inside)))
    refused(templates, /nested/)
    const sets = nested(1000, inside => Buffer.concat([hex('0a 00'), wrap([0x12], wrap([0x4a], inside))]))
    refused(wrap([0x12], wrap([0x4a], sets)), /nested/)
  })

  test('a million empty metrics, rows or types are refused before they fill the memory', () => {
    refused(Buffer.alloc(2_000_000, hex('12 00')), /too many/)
    refused(wrap([0x12], wrap([0x8a, 0x01], Buffer.alloc(2_000_000, hex('22 00')))), /too many/)
    refused(wrap([0x12], wrap([0x8a, 0x01], wrap([0x1a], Buffer.alloc(1_000_000, 1)))), /too many/)
    refused(new Uint8Array(9_000_000), /larger than/)
  })

  const onlyTheOneError = (bytes: Uint8Array): void => {
    try {
      decodePayload(bytes)
    } catch (error) {
      if (!(error instanceof PenstockError) || error.code !== 'bad-payload') throw error
    }
  }

  test('random bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), onlyTheOneError), { numRuns: numRuns * 10 })
  })

  test('valid payloads with bytes changed, cut out or put in', () => {
    const change = fc.record({
      at: fc.nat(1 << 16),
      remove: fc.nat(3),
      insert: fc.uint8Array({ maxLength: 3 }),
    })
    fc.assert(
      fc.property(payloads, fc.array(change, { minLength: 1, maxLength: 4 }), (payload, changes) => {
        let bytes = [...encodePayload(payload)]
        for (const { at, remove, insert } of changes)
          bytes = bytes.toSpliced(at % (bytes.length + 1), remove, ...insert)
        onlyTheOneError(new Uint8Array(bytes))
      }),
      { numRuns: numRuns * 2 },
    )
  })
})
