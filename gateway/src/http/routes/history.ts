import { Readable } from 'node:stream'
import { parseTag } from '@penstock/core/tag.ts'
import type { StoredReading } from '../../historian/historian.ts'
import { type Api, route } from '../api.ts'
import { routes } from '../contract/routes.ts'
import type { HttpParts } from '../parts.ts'
import { storedBody } from '../views/tags.ts'

const standardLimit = 5_000
const csvPage = 5_000

export function historyRoutes(app: Api, parts: HttpParts): void {
  const { historian, live, clock } = parts

  app.route({
    ...route(routes.readings),
    handler: async request => {
      const { tag, from, to, limit = standardLimit } = request.query
      parseTag(tag)
      const { readings, next } = await historian.query(tag, from, to, limit)
      const known = live.get(tag, clock.now())
      return {
        tag,
        unit: known?.unit ?? null,
        resolution: known?.resolution ?? null,
        readings: readings.map(storedBody),
        next,
      }
    },
  })

  app.route({
    ...route(routes.readingsCsv),
    handler: async (request, reply) => {
      const { tag, from, to, limit } = request.query
      parseTag(tag)
      const name = `${tag.replaceAll('/', '_')}.csv`
      reply.type('text/csv; charset=utf-8').header('Content-Disposition', `attachment; filename="${name}"`)
      return reply.send(Readable.from(csvLines(parts, tag, from, to, limit ?? Number.POSITIVE_INFINITY)))
    },
  })

  app.route({
    ...route(routes.trend),
    handler: async request => {
      const { tag, from, to, step } = request.query
      parseTag(tag)
      const stepMs = step === '1m' ? 60_000 : 3_600_000
      return { tag, stepMs, buckets: await historian.trend(tag, from, to, stepMs) }
    },
  })
}

/** Page by page, so that a month is not in memory at once. The mark at the start tells spreadsheets that it is UTF-8. */
async function* csvLines(
  { historian }: HttpParts,
  tag: string,
  from: number,
  to: number,
  limit: number,
): AsyncGenerator<string> {
  yield '\ufefftime,value,quality,reason\r\n'
  let left = limit
  for (let start: number | null = from; start !== null && left > 0; ) {
    const page: { readings: StoredReading[]; next: number | null } = await historian.query(
      tag,
      start,
      to,
      Math.min(left, csvPage),
    )
    left -= page.readings.length
    start = page.next
    yield page.readings.map(csvLine).join('')
  }
}

function csvLine({ sourceTimestamp, value, quality, reason }: StoredReading): string {
  return `${isoTime(sourceTimestamp)},${value === null ? '' : csvText(value)},${quality},${reason ?? ''}\r\n`
}

/** Beyond the calendar of JavaScript the plain number. */
const isoTime = (time: number): string => (Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : String(time))

/** A text that a spreadsheet would take as a formula is disarmed. */
function csvText(value: string | number | bigint | boolean): string {
  if (typeof value !== 'string') return String(value)
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
