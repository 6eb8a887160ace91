import { PenstockError } from './runtime/errors.ts'

/** An id of a site, device, tag, edge or group: letters, digits, `-`, `_`, `.`; 1–64 characters, starts with a letter or digit. */
export const idPattern = '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$'
const id = new RegExp(idPattern)

export interface TagParts {
  readonly site: string
  readonly device: string
  readonly name: string
}

/** The identity of a tag. It names neither group nor edge: which edge serves a device may change without renaming. */
export const tagOf = (site: string, device: string, name: string): string => `${site}/${device}/${name}`

/** Splits `site/device/tag`. @throws PenstockError `bad-tag` */
export function parseTag(tag: string): TagParts {
  const [site, device, name, more] = tag.split('/')
  if (!site || !device || !name || more !== undefined || ![site, device, name].every(part => id.test(part))) {
    throw new PenstockError('bad-tag', { tag })
  }
  return { site, device, name }
}

export const isId = (text: string): boolean => id.test(text)
