import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { isId } from '@penstock/core/tag.ts'
import { type Role, roles } from './config/users-file.ts'
import { hashPassword } from './http/auth/password.ts'
import { hashSecret, newSecret } from './http/auth/token.ts'

const shortestPassword = 10

const wrong = (text: string): PenstockError => new PenstockError('config-invalid', { text })

/** `users add | passwd | token`: prints what belongs into users.yaml; the file itself is the user's. */
export async function usersCommand(
  [command, id]: readonly string[],
  { role, name }: { role?: string | undefined; name?: string | undefined },
): Promise<void> {
  if (command === 'passwd') return console.log(await hashPassword(await askPassword()))
  if (command !== 'add' && command !== 'token') {
    throw wrong(`there is no command "users ${command ?? ''}"; there are add, passwd and token`)
  }
  if (id === undefined || !isId(id)) throw wrong(`users ${command} needs an id of letters, digits, "-", "_" and "."`)
  const checked = roleOf(role)
  if (command === 'add') {
    const password = await hashPassword(await askPassword())
    return console.log(entry({ id, name: name ?? id, role: checked, password }))
  }
  const token = newSecret()
  console.error(`the token, shown once: ${token}`)
  console.log(entry({ id, role: checked, hash: hashSecret(token) }))
}

/** One line of a list in users.yaml: JSON is YAML. */
const entry = (fields: Readonly<Record<string, string>>): string => `- ${JSON.stringify(fields)}`

function roleOf(text: string | undefined): Role {
  const role = roles.find(candidate => candidate === text)
  if (!role) throw wrong(`--role is one of ${roles.join(', ')}`)
  return role
}

/** From a terminal without echo, else the first line of standard input. */
async function askPassword(): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = process.stdin.isTTY === true
  if (terminal) process.stderr.write('password: ')
  const lines = createInterface({ input: process.stdin, output: silent, terminal })
  const password = await new Promise<string>(resolve => {
    lines.once('line', resolve)
    lines.once('close', () => resolve(''))
  })
  lines.close()
  if (terminal) process.stderr.write('\n')
  if (password.length < shortestPassword) throw wrong(`a password has at least ${shortestPassword} characters`)
  return password
}
