import { hash } from 'node:crypto'

/** Length of a link: SHA-256. */
export const linkBytes = 32

/** What the first link of a chain is made from. */
export const chainStart: Uint8Array = new Uint8Array(linkBytes)

/**
 * The link of one group of records: SHA-256 over the previous link and, for each payload, its length (u32, least significant
 * byte first) and its bytes. One link per group, so that a commit costs one hash however many records it has.
 */
export function chainNext(previous: Uint8Array, payloads: readonly Uint8Array[]): Uint8Array {
  let size = linkBytes
  for (const payload of payloads) size += 4 + payload.length
  const text = Buffer.allocUnsafe(size)
  text.set(previous, 0)
  let at = linkBytes
  for (const payload of payloads) {
    at = text.writeUInt32LE(payload.length, at)
    text.set(payload, at)
    at += payload.length
  }
  return hash('sha256', text, 'buffer')
}

export interface ChainGroup {
  readonly payloads: readonly Uint8Array[]
  /** the link as it was stored behind the group */
  readonly link: Uint8Array
}

/** `groups` counts the good ones; when broken, that is also the index of the first group whose link does not fit. */
export interface ChainCheck {
  readonly intact: boolean
  readonly groups: number
  /** the last link that fitted; compare it with an anchor that was kept elsewhere */
  readonly head: Uint8Array
}

/** Follows a chain from `previous` (chainStart, or the link before the oldest group that is kept) and stops at the first break. */
export function verifyChain(previous: Uint8Array, groups: Iterable<ChainGroup>): ChainCheck {
  let head = previous
  let count = 0
  for (const { payloads, link } of groups) {
    const expected = chainNext(head, payloads)
    if (!sameLink(expected, link)) return { intact: false, groups: count, head }
    head = expected
    count++
  }
  return { intact: true, groups: count, head }
}

export const sameLink = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
