import { createHash } from 'node:crypto'
import { type ChainGroup, chainNext, chainStart, verifyChain } from '@penstock/core/runtime/chain.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'

const link = (previous: Uint8Array, ...texts: string[]): ChainGroup => {
  const payloads = texts.map(text => Buffer.from(text))
  return { payloads, link: chainNext(previous, payloads) }
}

function chainOf(groups: readonly (readonly string[])[]): ChainGroup[] {
  const chain: ChainGroup[] = []
  for (const texts of groups) chain.push(link(chain.at(-1)?.link ?? chainStart, ...texts))
  return chain
}

test('a link is the SHA-256 of the link before it and the payloads with their lengths', () => {
  const expected = createHash('sha256')
    .update(Buffer.alloc(32))
    .update(Buffer.from([2, 0, 0, 0]))
    .update('ab')
    .update(Buffer.from([0, 0, 0, 0]))
    .digest()
  expect(Buffer.from(link(chainStart, 'ab', '').link)).toEqual(expected)
})

test('where one payload ends and the next begins matters', () => {
  expect(link(chainStart, 'ab', 'c').link).not.toEqual(link(chainStart, 'a', 'bc').link)
})

test('a chain that nobody touched is intact, from its start or from any kept link', () => {
  const chain = chainOf([['raised'], ['acknowledged', 'returned'], ['shelved']])
  expect(verifyChain(chainStart, chain)).toEqual({ intact: true, groups: 3, head: chain[2]?.link })
  expect(verifyChain(chain[0]?.link ?? chainStart, chain.slice(1))).toMatchObject({ intact: true, groups: 2 })
})

test('any change is found at the first group that it touches', () => {
  const texts = fc.array(fc.array(fc.string(), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(texts, fc.nat(), fc.constantFrom('alter', 'drop', 'swap'), (groups, at, how) => {
      const chain = chainOf(groups)
      const place = at % chain.length
      const changed = [...chain]
      const group = changed[place]
      const after = changed[place + 1]
      if (!group) return
      if (how === 'alter') changed[place] = { ...group, payloads: [...group.payloads, Buffer.from('forged')] }
      else if (how === 'drop') changed.splice(place, 1)
      else if (after) changed.splice(place, 2, after, group)
      const last = place === chain.length - 1
      if (last && how !== 'alter') return // a shortened end is found only by comparing the head with an anchor
      const check = verifyChain(chainStart, changed)
      expect(check).toMatchObject({ intact: false, groups: place })
    }),
  )
})
