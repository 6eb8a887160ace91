import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** 256 random bits for a cookie, a bearer token or a sign-in address. */
export const newSecret = (): string => randomBytes(32).toString('base64url')

/** `sha256$hex`: what is kept of a secret. Enough for random ones; passwords take scrypt. */
export const hashSecret = (secret: string): string => `sha256$${createHash('sha256').update(secret).digest('hex')}`

/** The hash of the token for scripts; its file is made, readable by its owner alone, if it is missing. */
export function apiTokenHash(path: string): string {
  let token: string
  try {
    token = readFileSync(path, 'utf8').trim()
    // A file that was copied or restored is closed again.
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    token = newSecret()
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, `${token}\n`, { mode: 0o600, flag: 'wx' })
  }
  if (token.length < 16) throw new Error(`the token in ${path} is shorter than 16 characters; delete the file`)
  return hashSecret(token)
}
