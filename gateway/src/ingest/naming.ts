import { isId, tagOf } from '@penstock/core/tag.ts'

/** Where a device of an edge belongs: `site:device` as our edges say it, else the property `site` of a birth, else the edge itself. */
export function placeOf(
  edgeId: string,
  sparkplugDevice: string | null,
  siteProperty: string | null,
): { site: string; device: string } {
  const text = sparkplugDevice ?? 'node'
  const colon = text.indexOf(':')
  const site = colon > 0 ? text.slice(0, colon) : (siteProperty ?? edgeId)
  return { site: asId(site), device: asId(colon > 0 ? text.slice(colon + 1) : text) }
}

/** The tag of a metric. A retyped tag `name~r1` is the same tag with the type that it had before. */
export function tagOfMetric(
  place: { site: string; device: string },
  metric: string,
): { tag: string; retyped: boolean } {
  const retyped = /~r\d{1,4}$/.exec(metric)
  const name = retyped ? metric.slice(0, retyped.index) : metric
  return { tag: tagOf(place.site, place.device, asId(name)), retyped: retyped !== null }
}

/** An id is taken as it is; names of foreign nodes get `_` for what an id cannot hold. */
function asId(text: string): string {
  if (isId(text)) return text
  const made = text.replace(/[^A-Za-z0-9_.-]/g, '_').slice(0, 64)
  return isId(made) ? made : `x${made}`.slice(0, 64)
}
