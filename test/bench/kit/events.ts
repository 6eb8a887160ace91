import { get } from 'node:http'

export interface Events {
  stop(): Promise<void>
}

const mark = Buffer.from('event: alarms\n')
const end = Buffer.from('\n\n')

/**
 * Reads an event stream as a screen would, at no cost: tells the time (ms since 1970) at which the last byte of each `alarms`
 * event had arrived, with its data.
 */
export function readAlarmEvents(
  url: string,
  token: string,
  onAlarms: (data: string, arrivedAt: number) => void,
): Promise<Events> {
  return new Promise((resolve, reject) => {
    const request = get(new URL('/api/v1/events', url), { headers: { Authorization: `Bearer ${token}` } }, response => {
      if (response.statusCode !== 200) return reject(new Error(`events: ${response.statusCode}`))
      let rest: Buffer = Buffer.alloc(0)
      response.on('data', (bytes: Buffer) => {
        const arrivedAt = performance.timeOrigin + performance.now()
        rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
        for (;;) {
          const stop = rest.indexOf(end)
          if (stop < 0) return
          if (rest.subarray(0, mark.length).equals(mark)) onAlarms(rest.toString('utf8', mark.length, stop), arrivedAt)
          rest = rest.subarray(stop + end.length)
        }
      })
      resolve({ stop: async () => void request.destroy() })
    })
    request.on('error', reject)
  })
}
