import { type ConfigSource, loadConfig } from '@penstock/core/runtime/config-file.ts'
import { Id, OneOf } from '@penstock/core/runtime/schema-parts.ts'
import { type Static, Type } from 'typebox'

const closed = { additionalProperties: false } as const

/** Each role may do what the ones before it may. */
export const roles = ['viewer', 'operator', 'engineer', 'admin'] as const
export type Role = (typeof roles)[number]

export const UsersFileSchema = Type.Object(
  {
    users: Type.Array(
      Type.Object(
        {
          id: Id('sign-in name'),
          name: Type.String({ minLength: 1, description: 'name on screens and in the journal' }),
          role: OneOf(roles, { description: 'what the user may do' }),
          password: Type.String({
            pattern: '^scrypt\\$',
            description: 'scrypt$… as printed by "npm run gateway -- users passwd"; never the password itself',
          }),
        },
        closed,
      ),
      { default: [] },
    ),
    tokens: Type.Array(
      Type.Object(
        {
          id: Id('name of the program that uses it'),
          role: OneOf(roles, { description: 'what the program may do' }),
          hash: Type.String({
            pattern: '^sha256\\$[0-9a-f]{64}$',
            description: 'sha256$… as printed by "npm run gateway -- users token"',
          }),
        },
        closed,
      ),
      { default: [] },
    ),
  },
  { ...closed, title: 'Penstock users and tokens' },
)
export type UsersFile = Static<typeof UsersFileSchema>

/** Reads and checks a users file. @throws PenstockError `config-missing`, or `config-invalid` with all problems */
export function loadUsersFile(path: string): UsersFile {
  return loadConfig(path, UsersFileSchema, { check: checkUsers }).value
}

function checkUsers(value: UsersFile, source: ConfigSource): void {
  for (const part of ['users', 'tokens'] as const) {
    const ids = value[part].map(entry => entry.id)
    for (const [index, id] of ids.entries()) {
      if (ids.indexOf(id) !== index) source.fail([part, index, 'id'], `"${id}" stands twice in "${part}"; rename one`)
    }
  }
}
