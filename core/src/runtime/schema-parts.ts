import { Type } from 'typebox'
import { idPattern } from '../tag.ts'

/** Parts that several configuration files share. */
export const Id = (description: string) => Type.String({ pattern: idPattern, description })

export const Text = (description: string) =>
  Type.Object(
    {
      zh: Type.String({ minLength: 1, description: '中文' }),
      en: Type.String({ minLength: 1, description: 'English' }),
    },
    { additionalProperties: false, description },
  )

export const OneOf = <const T extends readonly string[]>(
  values: T,
  options: { description: string; default?: T[number] },
) =>
  Type.Union(
    values.map(value => Type.Literal(value)),
    options,
  ) as unknown as ReturnType<typeof Type.Unsafe<T[number]>>

export const BrokerPart = Type.Object(
  {
    urls: Type.Array(
      Type.String({ pattern: '^(mqtt|mqtts)://', description: 'mqtt://host:port or mqtts://host:port' }),
      {
        minItems: 1,
        description: 'brokers, walked in order',
      },
    ),
    username: Type.Union([Type.String(), Type.Null()], { default: null, description: 'user at the broker, or null' }),
    passwordFile: Type.Union([Type.String(), Type.Null()], {
      default: null,
      description: 'file with the password alone, relative to this file',
    }),
    caFile: Type.Union([Type.String(), Type.Null()], {
      default: null,
      description: 'PEM file of the authority that signed the broker (mqtts)',
    }),
    protocol: Type.Union([Type.Literal('auto'), Type.Literal(4), Type.Literal(5)], {
      default: 'auto',
      description: 'MQTT 5 where the broker speaks it, else 3.1.1 (auto), or one of them',
    }),
  },
  { additionalProperties: false, description: 'the MQTT broker' },
)
