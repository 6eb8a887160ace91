import { PenstockError } from '../runtime/errors.ts'

/** Topic namespace of Sparkplug B (tck-id-topic-structure-namespace-a). */
export const sparkplugNamespace = 'spBv1.0'

export const nodeVerbs = ['NBIRTH', 'NDEATH', 'NDATA', 'NCMD'] as const
export const deviceVerbs = ['DBIRTH', 'DDEATH', 'DDATA', 'DCMD'] as const
export type NodeVerb = (typeof nodeVerbs)[number]
export type DeviceVerb = (typeof deviceVerbs)[number]

export type SparkplugTopic =
  | { readonly kind: 'node'; readonly group: string; readonly verb: NodeVerb; readonly edge: string }
  | {
      readonly kind: 'device'
      readonly group: string
      readonly verb: DeviceVerb
      readonly edge: string
      readonly device: string
    }
  | { readonly kind: 'state'; readonly host: string }

const isNodeVerb = (text: string): text is NodeVerb => (nodeVerbs as readonly string[]).includes(text)
const isDeviceVerb = (text: string): text is DeviceVerb => (deviceVerbs as readonly string[]).includes(text)

/** A group, edge, device or host id: not empty, without `+`, `/`, `#` (tck-id-topic-structure-namespace-valid-group-id, …) and NUL. */
export const isSparkplugId = (id: string): boolean => id !== '' && !/[+/#\0]/.test(id)

/** What a topic says, or null if it is not one of Sparkplug B 3.0. */
export function parseTopic(topic: string): SparkplugTopic | null {
  const parts = topic.split('/')
  const [namespace, second = '', verb = '', edge = '', device] = parts
  if (namespace !== sparkplugNamespace || parts.length < 3 || parts.length > 5 || !parts.every(isSparkplugId))
    return null
  // a group may not be called STATE, or its topics would be taken for this one
  if (second === 'STATE') return parts.length === 3 ? { kind: 'state', host: verb } : null
  if (parts.length === 4 && isNodeVerb(verb)) return { kind: 'node', group: second, verb, edge }
  if (device !== undefined && isDeviceVerb(verb)) return { kind: 'device', group: second, verb, edge, device }
  return null
}

/** @throws PenstockError `bad-topic` for an id that cannot stand in a topic */
export const nodeTopic = (group: string, verb: NodeVerb, edge: string): string =>
  join(checkGroup(group), verb, check(edge))

/** @throws PenstockError `bad-topic` */
export const deviceTopic = (group: string, verb: DeviceVerb, edge: string, device: string): string =>
  join(checkGroup(group), verb, check(edge), check(device))

/** Topic of a host application's birth and death (tck-id-host-topic-phid-birth-topic). @throws PenstockError `bad-topic` */
export const stateTopic = (host: string): string => join('STATE', check(host))

/** Filter for all messages of a group. @throws PenstockError `bad-topic` */
export const groupFilter = (group: string): string => join(checkGroup(group), '#')

/** Filter for the commands to all devices of an edge. @throws PenstockError `bad-topic` */
export const deviceCommandFilter = (group: string, edge: string): string =>
  join(checkGroup(group), 'DCMD', check(edge), '+')

const join = (...parts: string[]): string => [sparkplugNamespace, ...parts].join('/')

function check(id: string): string {
  if (!isSparkplugId(id)) throw new PenstockError('bad-topic', { id })
  return id
}

const checkGroup = (id: string): string => (id === 'STATE' ? check('') : check(id))
