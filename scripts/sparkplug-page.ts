import { chapters, type Standing, standings } from '../test/conformance/ids.ts'

const kinds = ['tested', 'not applicable', 'not testable', 'not met'] as const

/** docs/sparkplug.md: where each requirement of the specification stands. */
export function sparkplugPage(): string {
  const count = (kind: Standing['kind']) => [...standings.values()].filter(standing => standing.kind === kind).length
  const unmet = [...standings].flatMap(([id, standing]) =>
    standing.kind === 'not met' ? [`- \`tck-id-${id}\`: ${standing.reason}.`] : [],
  )
  const tables = Object.entries(chapters).map(([chapter, requirements]) =>
    [
      `## ${chapter}`,
      '',
      '| Requirement | Status | |',
      '|---|---|---|',
      ...Object.entries(requirements).map(
        ([id, standing]) => `| \`tck-id-${id}\` | ${standing.kind} | ${more(standing)} |`,
      ),
      '',
    ].join('\n'),
  )
  return [
    '# Sparkplug B 3.0',
    '',
    `The specification 3.0.0 has ${standings.size} requirements with an id. Each test of \`test/conformance/edge.test.ts\` and`,
    '`test/conformance/host.test.ts` is named by the ids that it shows: the real edge, and the real host, each with a counterpart made by',
    'hand, speak over Aedes, and the packets that they send are read from the bytes of their connections',
    '(`test/conformance/watched-broker.ts`). Aedes has MQTT 3.1.1 only; what concerns MQTT 5 is shown against a small stand-in',
    '(`test/conformance/mqtt5-peer.ts`). One requirement:',
    '`npm run test:unit -- test/conformance -t tck-id-payloads-dbirth-order`. This is not the TCK of the Sparkplug working group, which runs',
    'inside another broker; it has not been run.',
    '',
    '| Status | Requirements |',
    '|---|---|',
    ...kinds.map(kind => `| ${kind} | ${count(kind)} |`),
    '',
    'Four ids are printed in the specification under another name than that of their anchor; here are the anchors.',
    'This page is made from `test/conformance/ids.ts` by `npm run generate`.',
    '',
    '## Not met',
    '',
    ...unmet,
    '',
    ...tables,
  ].join('\n')
}

const more = (standing: Standing): string =>
  standing.kind === 'tested' ? `\`test/conformance/${standing.by}.test.ts\`` : standing.reason.replaceAll('|', '\\|')
