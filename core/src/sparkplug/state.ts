/** What a host application says of itself on `spBv1.0/STATE/<host>` (specification 5.14, tck-id-host-topic-phid-birth-payload). */
export interface HostState {
  readonly online: boolean
  /** ms UTC; birth and the will of the same connection carry the same one */
  readonly timestamp: number
}

const utf8 = new TextDecoder()
const largestMessage = 4096

export const formatState = ({ online, timestamp }: HostState): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ online, timestamp }))

/** null for what is not a STATE of Sparkplug 3.0; unknown members and a timestamp in quotes are let pass. */
export function parseState(payload: Uint8Array): HostState | null {
  if (payload.length > largestMessage) return null
  let json: unknown
  try {
    json = JSON.parse(utf8.decode(payload))
  } catch {
    return null
  }
  if (typeof json !== 'object' || json === null || !('online' in json) || !('timestamp' in json)) return null
  const { online } = json
  const timestamp =
    typeof json.timestamp === 'string' && /^\d{1,16}$/.test(json.timestamp) ? Number(json.timestamp) : json.timestamp
  if (typeof online !== 'boolean') return null
  if (typeof timestamp !== 'number' || !Number.isFinite(timestamp) || timestamp < 0) return null
  const ms = Math.floor(timestamp)
  return Number.isSafeInteger(ms) ? { online, timestamp: ms } : null
}
