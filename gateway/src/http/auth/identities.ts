import type { Clock } from '@penstock/core/runtime/clock.ts'
import { type Role, roles, type UsersFile } from '../../config/users-file.ts'
import type { Store } from '../../store/store.ts'
import { passwordFits } from './password.ts'
import { hashSecret, newSecret } from './token.ts'

/** Who makes a request. `id` is the actor of every command. */
export interface Identity {
  readonly id: string
  readonly name: string
  readonly role: Role
  readonly via: 'session' | 'token'
  readonly expiresAt: number | null
}

export const mayAct = (role: Role, needed: Role): boolean => roles.indexOf(role) >= roles.indexOf(needed)

/** Signed in by the address that was printed: ids of users.yaml cannot begin with `@`. */
const localUser = '@local'
const sessionMs = 12 * 3_600_000
const signInMs = 600_000

export interface IdentitiesOptions {
  readonly users: () => UsersFile
  readonly store: Store
  readonly clock: Clock
  /** hash of the token for scripts */
  readonly apiTokenHash: string | null
}

/** Users, tokens, sessions and the one-time sign-in address. Roles are looked up at every request, so a change acts at once. */
export class Identities {
  readonly #options: IdentitiesOptions
  #signIn: { readonly hash: string; readonly expiresAt: number } | null = null

  constructor(options: IdentitiesOptions) {
    this.#options = options
  }

  /** A code that signs in once, within 10 minutes; a new one replaces an earlier one. */
  newSignInCode(): string {
    const code = newSecret()
    this.#signIn = { hash: hashSecret(code), expiresAt: this.#options.clock.now() + signInMs }
    return code
  }

  /** The secret of a new session, or null: the code is wrong, used or too old. */
  async signInByCode(code: string): Promise<{ secret: string; expiresAt: number } | null> {
    const open = this.#signIn
    if (!open || open.hash !== hashSecret(code)) return null
    this.#signIn = null
    if (this.#options.clock.now() >= open.expiresAt) return null
    return this.#begin(localUser)
  }

  async signIn(user: string, password: string): Promise<{ secret: string; identity: Identity } | null> {
    const known = this.#options.users().users.find(candidate => candidate.id === user)
    if (!(await passwordFits(password, known?.password ?? null)) || !known) return null
    const { secret, expiresAt } = await this.#begin(known.id)
    return { secret, identity: { id: known.id, name: known.name, role: known.role, via: 'session', expiresAt } }
  }

  async signOut(secret: string): Promise<void> {
    await this.#options.store.removeSession(hashSecret(secret))
  }

  async bySession(secret: string): Promise<Identity | null> {
    const session = await this.#options.store.session(hashSecret(secret), this.#options.clock.now())
    if (!session) return null
    const { expiresAt } = session
    if (session.user === localUser) return { id: localUser, name: 'local', role: 'admin', via: 'session', expiresAt }
    const user = this.#options.users().users.find(candidate => candidate.id === session.user)
    return user ? { id: user.id, name: user.name, role: user.role, via: 'session', expiresAt } : null
  }

  byToken(token: string): Identity | null {
    const hash = hashSecret(token)
    if (hash === this.#options.apiTokenHash) {
      return { id: 'token:api', name: 'api', role: 'admin', via: 'token', expiresAt: null }
    }
    const known = this.#options.users().tokens.find(candidate => candidate.hash === hash)
    return known ? { id: `token:${known.id}`, name: known.id, role: known.role, via: 'token', expiresAt: null } : null
  }

  async #begin(user: string): Promise<{ secret: string; expiresAt: number }> {
    const { store, clock } = this.#options
    const now = clock.now()
    const secret = newSecret()
    await store.removeExpiredSessions(now)
    await store.addSession(hashSecret(secret), { user, createdAt: now, expiresAt: now + sessionMs })
    return { secret, expiresAt: now + sessionMs }
  }
}
