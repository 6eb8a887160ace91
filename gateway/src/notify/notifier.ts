import type { Clock, Ticker } from '@penstock/core/runtime/clock.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { AlarmService } from '../alarms/alarm-service.ts'
import type { StoredRecord } from '../alarms/journal.ts'
import { CursorFile } from './cursor-file.ts'
import type { MessageContext } from './message.ts'
import { Webhook, type WebhookStatus, type WebhookTarget } from './webhook.ts'

interface Bilingual {
  readonly zh: string
  readonly en: string
}

export interface NotifierOptions {
  readonly folder: string
  readonly files: FileLayer
  readonly targets: readonly WebhookTarget[]
  readonly alarms: Pick<AlarmService, 'journal' | 'onJournal' | 'ruleOf'>
  /** names of the registry; null: none known */
  readonly names: {
    site(site: string): Bilingual | null
    device(site: string, device: string): Bilingual | null
  }
  /** address of the console, without a slash at the end; null: messages carry no link */
  readonly consoleUrl: string | null
  readonly clock: Clock
  readonly ticker: Ticker
  readonly random: () => number
  readonly log: Logger
}

/** Tells people of alarms: every receiver by itself, so that one that hangs holds up no other. */
export class Notifier {
  readonly #webhooks: readonly Webhook[]
  readonly #stop: () => void

  private constructor(webhooks: readonly Webhook[], stop: () => void) {
    this.#webhooks = webhooks
    this.#stop = stop
  }

  static async open(options: NotifierOptions): Promise<Notifier> {
    const { folder, files, targets, alarms, clock, ticker, random, log } = options
    await files.makeFolder(folder)
    const webhooks: Webhook[] = []
    for (const target of targets) {
      const cursor = new CursorFile(folder, target.id, files)
      const context = (record: StoredRecord) => contextOf(record, options)
      webhooks.push(
        await Webhook.open({ target, journal: alarms.journal, cursor, context, clock, ticker, random, log }),
      )
    }
    const wake = () => {
      for (const webhook of webhooks) webhook.wake()
    }
    const stop = alarms.onJournal(wake)
    wake()
    return new Notifier(webhooks, stop)
  }

  status(): WebhookStatus[] {
    return this.#webhooks.map(webhook => webhook.status)
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#stop()
    await Promise.all(this.#webhooks.map(webhook => webhook.close()))
  }
}

function contextOf(record: StoredRecord, { names, alarms, consoleUrl }: NotifierOptions): MessageContext {
  const rule = record.rule === null ? undefined : alarms.ruleOf(record.rule)
  const isEdge = rule?.source === 'edge'
  const [site, device] = isEdge ? [] : (record.source?.split('/') ?? [])
  return {
    site: site === undefined ? null : { id: site, name: names.site(site) },
    device: site === undefined || device === undefined ? null : { id: device, name: names.device(site, device) },
    edge: isEdge ? record.source : null,
    consequence: rule?.response?.consequence ?? null,
    action: rule?.response?.action ?? null,
    link:
      consoleUrl === null || record.alarm === null
        ? null
        : `${consoleUrl}/alarms/${encodeURIComponent(pageOf(record))}`,
  }
}

/** A late finding stands in the list beside the alarm, under an id of its own. */
const pageOf = ({ alarm, late, occ }: StoredRecord): string => (late ? `${alarm}~${occ}` : `${alarm}`)
