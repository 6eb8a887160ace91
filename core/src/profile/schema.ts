import { type Static, Type } from 'typebox'
import { deliveryClasses } from '../reading.ts'
import { Id, OneOf, Text } from '../runtime/schema-parts.ts'
import { unitNames } from '../units.ts'

/** Byte orders of 32- and 64-bit values; A is the most significant byte. */
export const wordOrders = ['ABCD', 'CDAB', 'BADC', 'DCBA'] as const
export type WordOrder = (typeof wordOrders)[number]

export const registerTypes = ['bool', 'u16', 'i16', 'u32', 'i32', 'u64', 'i64', 'f32', 'f64', 'string'] as const
export type RegisterType = (typeof registerTypes)[number]

const closed = { additionalProperties: false } as const

const Register = Type.Integer({ minimum: 0, maximum: 65535, description: 'register address on the wire, from 0' })
const FunctionCode = Type.Union([Type.Literal(1), Type.Literal(2), Type.Literal(3), Type.Literal(4)], {
  description: 'Modbus function code 1, 2, 3 or 4',
})
const Order = OneOf(wordOrders, { description: 'byte order of 32- and 64-bit values' })

const Source = Type.Object(
  {
    register: Register,
    type: OneOf(registerTypes, { description: 'how the registers are read' }),
    order: Type.Optional(Order),
  },
  closed,
)

/** Integer part, fraction and multiplier of one total; read in one request and combined exactly. */
const Total = Type.Object(
  {
    integer: Source,
    fraction: Type.Optional(Type.Union([Source, Type.Null()])),
    multiplier: Type.Optional(
      Type.Union([
        Type.Object(
          {
            register: Register,
            type: OneOf(registerTypes, { description: 'how the multiplier is read' }),
            order: Type.Optional(Order),
            powerOfTen: Type.Boolean({
              default: true,
              description: 'true: the register holds an exponent plus offset; false: the factor itself',
            }),
            offset: Type.Integer({ default: 0, description: 'subtracted from the register to get the exponent' }),
          },
          closed,
        ),
        Type.Null(),
      ]),
    ),
    unitCode: Type.Optional(
      Type.Union([
        Type.Object(
          {
            register: Register,
            type: OneOf(registerTypes, { description: 'how the unit register is read' }),
            m3PerUnit: Type.Record(Type.String(), Type.String({ pattern: '^\\d+(\\.\\d+)?$' }), {
              description: 'unit code of the meter → m³ as a decimal text',
            }),
          },
          closed,
        ),
        Type.Null(),
      ]),
    ),
  },
  { ...closed, description: 'a total made of several registers' },
)

export const ProfileTag = Type.Object(
  {
    name: Id('tag name, the third part of site/device/tag'),
    title: Text('name on screens'),
    register: Type.Optional(Register),
    type: Type.Optional(OneOf(registerTypes, { description: 'how the registers are read' })),
    length: Type.Optional(Type.Integer({ minimum: 1, maximum: 123, description: 'registers of a string' })),
    functionCode: Type.Optional(FunctionCode),
    order: Type.Optional(Order),
    bit: Type.Optional(Type.Integer({ minimum: 0, maximum: 15, description: 'one bit of the register, 0 = lowest' })),
    mask: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535, description: 'bits that count; shifted down' })),
    scale: Type.Optional(
      Type.Object(
        {
          factor: Type.Number({ default: 1, description: 'value = raw × factor + offset' }),
          offset: Type.Number({ default: 0 }),
        },
        closed,
      ),
    ),
    placeholders: Type.Optional(Type.Array(Type.Integer(), { description: 'raw values that mean "no value"' })),
    total: Type.Optional(Total),
    unit: Type.Optional(OneOf(unitNames as unknown as readonly string[], { description: 'unit of the value' })),
    unitFrom: Type.Optional(
      Type.Object(
        {
          register: Register,
          type: OneOf(registerTypes, { description: 'how the unit register is read' }),
          mask: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535 })),
          factors: Type.Record(Type.String(), Type.Number(), {
            description: "unit code → factor to the tag's unit; an unknown code makes the reading bad",
          }),
        },
        { ...closed, description: 'the device tells its unit in a register' },
      ),
    ),
    resolution: Type.Optional(
      Type.String({
        pattern: '^\\d+(\\.\\d+)?$',
        description: 'unit per count of a total, decimal text such as "0.001"',
      }),
    ),
    modulus: Type.Optional(
      Type.String({
        pattern: '^\\d+$',
        description: 'count at which the register starts again, in counts of the resolution',
      }),
    ),
    class: OneOf(deliveryClasses, { description: 'delivery class', default: 'raw' }),
    scan: Type.String({ default: 'normal', description: 'scan class of the site file' }),
    deadband: Type.Optional(Type.Number({ minimum: 0, description: 'smallest change worth reporting, in the unit' })),
    heartbeatMs: Type.Integer({
      minimum: 1000,
      default: 60_000,
      description: 'an unchanged value is sent again after this',
    }),
    min: Type.Optional(Type.Number({ description: 'lower end of the measuring range' })),
    max: Type.Optional(Type.Number({ description: 'upper end of the measuring range' })),
  },
  closed,
)
export type ProfileTag = Static<typeof ProfileTag>

export const ProfileSchema = Type.Object(
  {
    profile: Id('name that site files use'),
    title: Text('model of the instrument'),
    source: Type.String({ minLength: 3, description: 'where the register map comes from: manual, page' }),
    confidence: OneOf(['high', 'medium', 'low', 'own'], {
      description: 'how sure the map is; own: defined by this project',
    }),
    driver: OneOf(['modbus', 'modbus-logger'], { description: 'driver that reads it' }),
    modbus: Type.Object(
      {
        functionCode: Type.Union([Type.Literal(1), Type.Literal(2), Type.Literal(3), Type.Literal(4)], { default: 3 }),
        wordOrder: OneOf(wordOrders, { description: 'byte order of 32- and 64-bit values', default: 'ABCD' }),
        maxRegisters: Type.Integer({ minimum: 1, maximum: 125, default: 125, description: 'registers in one request' }),
        maxGap: Type.Integer({ minimum: 0, maximum: 124, default: 16, description: 'unused registers read along' }),
        avoid: Type.Array(Type.Tuple([Type.Integer({ minimum: 0 }), Type.Integer({ minimum: 0 })]), {
          default: [],
          description: 'ranges [first, last] that must never be read',
        }),
      },
      { ...closed, default: {} },
    ),
    tags: Type.Array(ProfileTag, { minItems: 1 }),
    rules: Type.Array(
      Type.Object(
        {
          when: Type.Object(
            {
              tag: Type.String(),
              is: Type.Optional(Type.Union([Type.Boolean(), Type.Number()])),
              in: Type.Optional(Type.Array(Type.Number())),
              not: Type.Optional(Type.Union([Type.Boolean(), Type.Number()])),
            },
            closed,
          ),
          set: Type.Object(
            {
              quality: OneOf(['bad', 'uncertain'], { description: 'quality of the tags' }),
              reason: OneOf(['device-fault', 'device-warning', 'inhibit', 'out-of-range', 'not-read'], {
                description: 'why',
              }),
            },
            closed,
          ),
          tags: Type.Array(Type.String(), { minItems: 1 }),
        },
        closed,
      ),
      { default: [], description: 'registers of the device that make other tags bad or uncertain' },
    ),
  },
  { ...closed, title: 'Penstock profile: the register map of a model of instrument' },
)
export type Profile = Static<typeof ProfileSchema>
