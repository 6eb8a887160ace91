/** One event of `/api/v1/events`. */
export interface StreamEvent {
  readonly name: string
  readonly data: unknown
}

/**
 * Reads the event stream by fetch, so that heartbeat comments are seen too: silence longer than `silenceMs` counts as a cut.
 * Resolves when the stream has ended, with the HTTP status (0: network).
 */
export async function readStream(
  signal: AbortSignal,
  silenceMs: number,
  onOpen: () => void,
  onEvent: (event: StreamEvent) => void,
): Promise<number> {
  const silence = new AbortController()
  let timer = setTimeout(() => silence.abort(), silenceMs)
  const alive = () => {
    clearTimeout(timer)
    timer = setTimeout(() => silence.abort(), silenceMs)
  }
  try {
    const response = await fetch('/api/v1/events', {
      headers: { Accept: 'text/event-stream' },
      credentials: 'same-origin',
      signal: AbortSignal.any([signal, silence.signal]),
    })
    if (!response.ok || !response.body) return response.status
    onOpen()
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return 200
      alive()
      const blocks = (rest + value).split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) parse(block, onEvent)
    }
  } catch {
    return 0
  } finally {
    clearTimeout(timer)
  }
}

function parse(block: string, onEvent: (event: StreamEvent) => void): void {
  let name = 'message'
  const data: string[] = []
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim()
    else if (line.startsWith('data:')) data.push(line.slice(5).trimStart())
  }
  if (data.length > 0) onEvent({ name, data: JSON.parse(data.join('\n')) })
}
