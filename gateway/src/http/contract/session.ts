import { Type } from 'typebox'
import { roles } from '../../config/users-file.ts'
import { named, nullable, strict } from './named.ts'

export const RoleName = named('Role', Type.Enum([...roles]))

export const Me = named(
  'Me',
  Type.Object({
    id: Type.String({ description: 'the actor of every command' }),
    name: Type.String(),
    role: RoleName,
    via: Type.Enum(['session', 'token']),
    expiresAt: nullable(Type.Integer({ description: 'ms UTC; null for a token' })),
  }),
)

export const SignInBody = Type.Object(
  { user: Type.String({ minLength: 1, maxLength: 64 }), password: Type.String({ minLength: 1, maxLength: 256 }) },
  strict,
)
