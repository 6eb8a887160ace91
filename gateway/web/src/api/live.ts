import { useEffect, useRef, useState } from 'react'
import { type Alarm, ApiError, answer, client, type Edge, type Site, type Status, type Tag } from './client.ts'
import { readStream, type StreamEvent } from './stream.ts'

/** Everything that the console shows, as last told by the gateway. */
export interface Live {
  readonly tags: ReadonlyMap<string, Tag>
  readonly alarms: ReadonlyMap<string, Alarm>
  readonly edges: ReadonlyMap<string, Edge>
  readonly sites: readonly Site[]
  readonly status: Status | null
  /** gateway's time − browser's time, at the last answer, and how fast the gateway's time runs */
  readonly time: { readonly gateway: number; readonly browser: number; readonly factor: number }
}

export type Connection = 'loading' | 'live' | 'cut' | 'signed-out'

const empty: Live = {
  tags: new Map(),
  alarms: new Map(),
  edges: new Map(),
  sites: [],
  status: null,
  time: { gateway: Date.now(), browser: Date.now(), factor: 1 },
}

const silenceMs = 25_000
const retryMs = 2000

/** Now by the gateway's clock. */
export const gatewayNow = (live: Live): number =>
  live.time.gateway + (Date.now() - live.time.browser) * live.time.factor

/** The live picture: read whole at the start and after each gap, then kept up by the event stream. */
export function useLive(enabled: boolean): {
  live: Live
  connection: Connection
  cutSince: number | null
  reread: () => void
} {
  const [live, setLive] = useState(empty)
  const [connection, setConnection] = useState<Connection>('loading')
  const [cutSince, setCutSince] = useState<number | null>(null)
  const reread = useRef<() => void>(() => {})

  useEffect(() => {
    if (!enabled) return
    const stop = new AbortController()
    const cut = () => {
      setConnection(before => (before === 'signed-out' ? before : 'cut'))
      setCutSince(since => since ?? Date.now())
    }
    const read = async () => {
      const next = await readAll()
      if (!stop.signal.aborted) setLive(next)
    }
    reread.current = () => void read().catch(cut)
    const run = async () => {
      while (!stop.signal.aborted) {
        let resync = false
        const status = await readStream(
          stop.signal,
          silenceMs,
          () => {
            // Read after the stream is open: what changes in between comes by the stream.
            void read().then(() => {
              setConnection('live')
              setCutSince(null)
            }, cut)
          },
          event => {
            if (event.name === 'resync') resync = true
            else if (event.name === 'reload') reread.current()
            else setLive(before => apply(before, event))
          },
        )
        if (stop.signal.aborted) return
        if (status === 401) return setConnection('signed-out')
        if (resync) continue
        cut()
        await new Promise(wait => setTimeout(wait, retryMs))
      }
    }
    void run()
    const refresh = setInterval(
      () =>
        void readSlow().then(
          part => setLive(before => ({ ...before, ...part })),
          () => {},
        ),
      15_000,
    )
    return () => {
      stop.abort()
      clearInterval(refresh)
    }
  }, [enabled])

  return { live, connection, cutSince, reread: () => reread.current() }
}

async function readSlow(): Promise<Pick<Live, 'sites' | 'status'>> {
  const [sites, status] = await Promise.all([answer(client.GET('/api/v1/sites')), answer(client.GET('/api/v1/status'))])
  return { sites: sites.sites, status }
}

async function readAll(): Promise<Live> {
  const [slow, tags, alarms, edges] = await Promise.all([
    readSlow(),
    answer(client.GET('/api/v1/tags')),
    answer(client.GET('/api/v1/alarms')),
    answer(client.GET('/api/v1/edges')),
  ])
  return {
    ...slow,
    tags: new Map(tags.tags.map(tag => [tag.tag, tag])),
    alarms: new Map(alarms.alarms.map(alarm => [alarm.id, alarm])),
    edges: new Map(edges.edges.map(edge => [edge.edge, edge])),
    time: { gateway: tags.at, browser: Date.now(), factor: slow.status?.timeFactor ?? 1 },
  }
}

function apply(live: Live, event: StreamEvent): Live {
  const data = event.data as { at: number; tags?: Tag[]; alarms?: Alarm[]; edges?: Edge[] }
  const time = typeof data.at === 'number' ? { ...live.time, gateway: data.at, browser: Date.now() } : live.time
  switch (event.name) {
    case 'tags':
      return { ...live, time, tags: merged(live.tags, data.tags ?? [], tag => tag.tag) }
    case 'alarms': {
      const alarms = merged(live.alarms, data.alarms ?? [], alarm => alarm.id)
      for (const [id, alarm] of alarms) if (!isOpen(alarm)) alarms.delete(id)
      return { ...live, time, alarms }
    }
    case 'edges':
      return { ...live, time, edges: merged(live.edges, data.edges ?? [], edge => edge.edge) }
    default:
      return live
  }
}

function merged<T>(before: ReadonlyMap<string, T>, changed: readonly T[], key: (item: T) => string): Map<string, T> {
  const next = new Map(before)
  for (const item of changed) next.set(key(item), item)
  return next
}

/** Still in the list: active, unacknowledged or latched. */
const isOpen = (alarm: Alarm): boolean => alarm.state !== 'NORMAL' && alarm.state !== 'DISABLED'

export const isSignedOut = (error: unknown): boolean => error instanceof ApiError && error.status === 401
