import type { Metric, Payload, PropertySet, PropertyValue } from '@penstock/core/sparkplug/payload.ts'
import fc from 'fast-check'

/** Arbitrary payloads, whose absent fields are left out, and the same as protobufjs wants them (see test/support/sparkplug-schema.ts). */

const uint32 = fc.oneof(fc.constantFrom(0, 1, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1), fc.nat(2 ** 32 - 1))
const uint53 = fc.oneof(fc.constantFrom(0, 1, 127, 128, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER), fc.maxSafeNat())
const timestamp = fc.oneof(fc.constantFrom(0, 1_700_000_000_000, 8.64e15), fc.nat(2 ** 41))
const uint64 = fc.oneof(
  fc.constantFrom(0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
)
const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 60 }).map(made => made.toWellFormed()),
)
const bytes = fc.uint8Array({ maxLength: 300 })
const float = fc.float({ noNaN: true })
const double = fc.double({ noNaN: true })

const scalar = fc.oneof(
  fc.record({ wire: fc.constant('int' as const), value: uint32 }),
  fc.record({ wire: fc.constant('long' as const), value: uint64 }),
  fc.record({ wire: fc.constant('float' as const), value: float }),
  fc.record({ wire: fc.constant('double' as const), value: double }),
  fc.record({ wire: fc.constant('boolean' as const), value: fc.boolean() }),
  fc.record({ wire: fc.constant('string' as const), value: text }),
)
const extension = fc.record({ wire: fc.constant('extension' as const), value: bytes })
const nothing = fc.constant({})
const optional = { requiredKeys: [] as [] }

const { metric } = fc.letrec<{ set: PropertySet; property: PropertyValue; metric: Metric }>(tie => ({
  set: fc.uniqueArray(fc.tuple(text, tie('property')), { maxLength: 4, selector: ([key]) => key }).map(e => new Map(e)),
  property: fc
    .tuple(
      fc.record({ type: uint32, isNull: fc.boolean() }, optional),
      fc.oneof(
        { maxDepth: 4, depthSize: 'small', withCrossShrink: true },
        nothing,
        scalar,
        extension,
        fc.record({ wire: fc.constant('set' as const), value: tie('set') }),
        fc.record({ wire: fc.constant('list' as const), value: fc.array(tie('set'), { maxLength: 3 }) }),
      ),
    )
    .map(([head, value]) => ({ ...head, ...value })),
  metric: fc
    .tuple(
      fc.record(
        {
          name: text,
          alias: uint53,
          timestamp,
          datatype: fc.oneof(fc.nat(34), uint32),
          isHistorical: fc.boolean(),
          isTransient: fc.boolean(),
          isNull: fc.boolean(),
          properties: tie('set'),
          metadata: fc.record(
            {
              isMultiPart: fc.boolean(),
              contentType: text,
              size: uint64,
              seq: uint64,
              fileName: text,
              fileType: text,
              md5: text,
              description: text,
            },
            optional,
          ),
        },
        optional,
      ),
      fc.oneof(
        { maxDepth: 4, depthSize: 'small', withCrossShrink: true },
        nothing,
        scalar,
        extension,
        fc.record({ wire: fc.constant('bytes' as const), value: bytes }),
        fc.record({
          wire: fc.constant('dataset' as const),
          value: fc.record(
            {
              columns: fc.array(text, { maxLength: 3 }),
              types: fc.array(uint32, { maxLength: 3 }),
              rows: fc.array(fc.array(fc.oneof(nothing, scalar, extension), { maxLength: 3 }), { maxLength: 3 }),
              columnCount: uint64,
            },
            { requiredKeys: ['columns', 'types', 'rows'] },
          ),
        }),
        fc.record({
          wire: fc.constant('template' as const),
          value: fc.record(
            {
              version: text,
              metrics: fc.array(tie('metric'), { maxLength: 2 }),
              parameters: fc.array(
                fc
                  .tuple(fc.record({ name: text, type: uint32 }, optional), fc.oneof(nothing, scalar, extension))
                  .map(([head, value]) => ({ ...head, ...value })),
                { maxLength: 2 },
              ),
              templateRef: text,
              isDefinition: fc.boolean(),
            },
            { requiredKeys: ['metrics', 'parameters'] },
          ),
        }),
      ),
    )
    .map(([head, value]) => ({ ...head, ...value })),
}))

export const payloads: fc.Arbitrary<Payload> = fc.record(
  { timestamp, metrics: fc.array(metric, { maxLength: 6 }), seq: uint53, uuid: text, body: bytes },
  { requiredKeys: ['metrics'] },
)

type Plain = Record<string, unknown>

/** As protobufjs wants it for encoding. */
export const toPlain = (payload: Payload): Plain => ({ ...payload, metrics: payload.metrics.map(metricToPlain) })

const wide = (value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)

function metricToPlain(metric: Metric): Plain {
  const { wire, value, properties, metadata, ...head } = metric
  const plain: Plain = { ...head }
  if (metadata) {
    plain.metadata = Object.fromEntries(Object.entries(metadata).map(([key, member]) => [key, wide(member)]))
  }
  if (properties) plain.properties = setToPlain(properties)
  if (wire === 'dataset') plain.dataset = dataSetToPlain(value as never)
  else if (wire === 'template') plain.template = templateToPlain(value as never)
  else if (wire) plain[wire] = wide(value)
  return plain
}

const cellToPlain = ({ wire, value, ...head }: { wire?: string; value?: unknown }): Plain =>
  wire ? { ...head, [wire]: wide(value) } : head

function setToPlain(properties: PropertySet): Plain {
  return {
    keys: [...properties.keys()],
    values: [...properties.values()].map(({ wire, value, ...head }) => {
      if (wire === 'set') return { ...head, set: setToPlain(value as PropertySet) }
      if (wire === 'list') return { ...head, list: { sets: (value as PropertySet[]).map(setToPlain) } }
      return cellToPlain({ ...head, ...(wire ? { wire, value } : {}) })
    }),
  }
}

const dataSetToPlain = (table: {
  columns: string[]
  types: number[]
  rows: Plain[][]
  columnCount?: bigint
}): Plain => ({
  ...(table.columnCount === undefined ? {} : { columnCount: String(table.columnCount) }),
  columns: table.columns,
  types: table.types,
  rows: table.rows.map(row => ({ cells: row.map(cellToPlain) })),
})

const templateToPlain = (template: { metrics: Metric[]; parameters: Plain[] }): Plain => ({
  ...template,
  metrics: template.metrics.map(metricToPlain),
  parameters: template.parameters.map(cellToPlain),
})

/** Leaves out undefined members and makes every byte array a plain Uint8Array, so that decoded and made payloads compare. */
export function bare(value: unknown): unknown {
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (value instanceof Map) return new Map([...value].map(([key, member]) => [key, bare(member)]))
  if (Array.isArray(value)) return value.map(bare)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([key, member]) => [key, bare(member)]),
  )
}
