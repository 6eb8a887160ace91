import { loadRuleFile, type RuleFile } from '@penstock/core/alarms/rule-file.ts'
import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { GatewayFile } from '../config/gateway-file.ts'
import { loadRegistryFile, type RegistryFile } from '../config/registry-file.ts'
import { loadUsersFile, type UsersFile } from '../config/users-file.ts'
import type { InboxWriter } from '../consumer.ts'
import type { EdgeKey } from '../ingest/record.ts'
import type { Store } from '../store/store.ts'
import { type ConfigName, ConfigSlot, type ReloadResult, type SlotStatus } from './config-slot.ts'
import { Names } from './names.ts'
import type { EdgeRegistry } from './registry.ts'
import { watchFiles } from './watch.ts'

export interface ConfigurationOptions {
  readonly file: Pick<GatewayFile, 'registry' | 'rules' | 'users'>
  readonly store: Store
  readonly clock: Clock
  readonly ticker: Ticker
  readonly log: Logger
}

/**
 * Registry, rules and users as they are in effect. Registry and rules take effect through the inbox, so that their place
 * among the readings is fixed; users stay out of it, because it is no place for secrets.
 */
export class Configuration implements EdgeRegistry {
  readonly #options: ConfigurationOptions
  readonly #registry: ConfigSlot<RegistryFile>
  readonly #rules: ConfigSlot<RuleFile[]>
  readonly #users: ConfigSlot<UsersFile>
  readonly #listeners = new Set<(results: readonly ReloadResult[]) => void>()
  #inbox: InboxWriter | null = null
  #names: Names
  #stopWatching: () => void = () => undefined
  #reloading: Promise<readonly ReloadResult[]> = Promise.resolve([])

  private constructor(
    options: ConfigurationOptions,
    registry: ConfigSlot<RegistryFile>,
    rules: ConfigSlot<RuleFile[]>,
    users: ConfigSlot<UsersFile>,
  ) {
    this.#options = options
    this.#registry = registry
    this.#rules = rules
    this.#users = users
    this.#names = new Names(registry.value)
  }

  /**
   * Reads the files; nothing takes effect before `publish`.
   * @throws PenstockError `config-invalid` | `config-missing` if a file is broken and nothing from an earlier run can stand in
   */
  static async open(options: ConfigurationOptions): Promise<Configuration> {
    const { file, store, clock } = options
    const now = () => clock.now()
    let opened: Configuration | null = null
    const durable = (what: 'registry' | 'rules') => (_: unknown, hash: string, content: string) =>
      opened === null ? Promise.resolve() : opened.#append(what, hash, content)
    const before = async <T>(what: ConfigName) => {
      const stored = await store.config(what)
      return stored && { value: JSON.parse(stored.content) as T, hash: stored.hash, since: stored.since }
    }
    const registry = ConfigSlot.open<RegistryFile>(
      {
        what: 'registry',
        files: [file.registry],
        load: () => loadRegistryFile(file.registry),
        apply: durable('registry'),
        now,
      },
      await before('registry'),
    )
    const rules = ConfigSlot.open<RuleFile[]>(
      {
        what: 'rules',
        files: file.rules,
        load: () => file.rules.map(path => loadRuleFile(path).file),
        apply: durable('rules'),
        now,
      },
      await before('rules'),
    )
    const users = ConfigSlot.open<UsersFile>(
      { what: 'users', files: [file.users], load: () => loadUsersFile(file.users), apply: async () => undefined, now },
      // Readings are taken in although nobody can sign in; the problem is shown, and a mended file is read at once.
      { value: { users: [], tokens: [] }, hash: '', since: clock.now() },
    )
    opened = new Configuration(options, registry, rules, users)
    for (const { what, problem } of opened.status) {
      if (problem !== null) options.log.error({ what, problem }, 'the file is broken; what was in effect before stays')
    }
    return opened
  }

  /** From now on changes take effect through the inbox: first what was changed while the gateway did not run; files are watched. */
  async publish(inbox: InboxWriter, rulesInEffect?: string): Promise<void> {
    const { file, ticker, log } = this.#options
    this.#inbox = inbox
    await this.#registry.publish()
    await this.#rules.publish(rulesInEffect)
    this.#stopWatching = watchFiles([file.registry, ...file.rules, file.users], ticker, log, () => {
      this.reload().catch(error => log.error({ err: error }, 'reloading failed'))
    })
  }

  get names(): Names {
    return this.#names
  }

  get rules(): readonly RuleFile[] {
    return this.#rules.value
  }

  get users(): UsersFile {
    return this.#users.value
  }

  get status(): SlotStatus[] {
    return [this.#registry.status, this.#rules.status, this.#users.status]
  }

  /** Reads all files again, one request after the other. */
  reload(): Promise<readonly ReloadResult[]> {
    this.#reloading = this.#reloading.catch(() => undefined).then(() => this.#reload())
    return this.#reloading
  }

  onReload(listener: (results: readonly ReloadResult[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  edge(group: string, id: string): { readonly hardwareId: string | null } | null {
    return this.#names.edge(group, id)
  }

  boundHardware(edge: EdgeKey): string | null {
    return this.#options.store.boundHardware(edge)
  }

  bindHardware(edge: EdgeKey, hardwareId: string): void {
    this.#options.store.bindHardware(edge, hardwareId, this.#options.clock.now())
  }

  groupOfSite(site: string): string | null {
    return this.#names.site(site)?.group ?? null
  }

  async close(): Promise<void> {
    this.#stopWatching()
    this.#listeners.clear()
    await this.#reloading.catch(() => undefined)
  }

  async #append(what: 'registry' | 'rules', hash: string, content: string): Promise<void> {
    if (!this.#inbox) throw new PenstockError('not-ready', { what: 'the inbox' })
    const at = this.#options.clock.now()
    this.#inbox.append({ kind: 'config', what, hash, content, at })
    await this.#inbox.commit()
    await this.#options.store.setConfig(what, { hash, content, since: at })
  }

  async #reload(): Promise<readonly ReloadResult[]> {
    const results: ReloadResult[] = []
    for (const slot of [this.#registry, this.#rules, this.#users]) results.push(await slot.reload())
    this.#names = new Names(this.#registry.value)
    for (const { what, status, problem } of results) {
      if (status === 'applied') this.#options.log.info({ what }, 'configuration in effect')
      if (status === 'refused') this.#options.log.error({ what, problem }, 'refused; what was in effect before stays')
    }
    for (const listener of this.#listeners) listener(results)
    return results
  }
}
