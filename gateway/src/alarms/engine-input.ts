import type { EngineInput } from '@penstock/core/alarms/input.ts'
import type { RuleFile } from '@penstock/core/alarms/rule-file.ts'
import type { InboxEntry } from '../ingest/record.ts'

/** What an entry of the inbox is to the alarm engine. Every entry moves its clock. */
export function engineInputs(entry: InboxEntry): EngineInput[] {
  switch (entry.kind) {
    case 'batch':
      return [
        {
          kind: 'readings',
          lane: entry.live ? 'current' : 'backlog',
          edge: entry.edge,
          at: entry.receivedAt,
          skewMs: entry.skewMs,
          readings: entry.readings,
        },
      ]
    case 'live':
      return [
        {
          kind: 'readings',
          lane: 'copy',
          edge: entry.edge,
          at: entry.receivedAt,
          skewMs: entry.skewMs,
          readings: entry.readings,
        },
      ]
    case 'loss':
      return [{ kind: 'tick', at: entry.receivedAt }]
    case 'edge': {
      const { at, edge, tags } = entry
      switch (entry.event) {
        case 'online':
          return [{ kind: 'edge', at, edge, online: true }]
        case 'offline':
          return [
            { kind: 'lost', at, reason: 'edge-offline', tags },
            { kind: 'edge', at, edge, online: false },
          ]
        case 'device-offline':
          return [{ kind: 'lost', at, reason: 'device-offline', tags }]
        case 'device-online':
        case 'adopted':
          return [{ kind: 'known', at, tags }]
      }
      return []
    }
    case 'command': {
      const { at, commandId, actor, command } = entry
      return [{ kind: 'command', at, commandId, actor, command }]
    }
    case 'config':
      if (entry.what !== 'rules') return [{ kind: 'tick', at: entry.at }]
      return [{ kind: 'rules', at: entry.at, hash: entry.hash, files: ruleFiles(entry.content) }]
    case 'tick':
      return [{ kind: 'tick', at: entry.at }]
  }
}

/** The rule files of a config entry: checked before it was written, one or several. */
function ruleFiles(content: string): readonly RuleFile[] {
  const parsed = JSON.parse(content) as RuleFile | RuleFile[]
  return Array.isArray(parsed) ? parsed : [parsed]
}
