import type { Profile } from '@penstock/core/profile/schema.ts'
import type { Reason, Value } from '@penstock/core/reading.ts'

/** A quality rule of a profile with tags as indexes: what one register of a device says about others. */
export interface QualityRule {
  readonly condition: number
  readonly holds: (value: Value) => boolean
  readonly quality: 'bad' | 'uncertain'
  readonly reason: Reason
}

/** Rules per tag, those that make bad first: the first that holds decides. */
export function compileRules(rules: Profile['rules'], names: readonly string[]): readonly (readonly QualityRule[])[] {
  const perTag: QualityRule[][] = names.map(() => [])
  for (const { when, set, tags } of rules) {
    const condition = names.indexOf(when.tag)
    // the condition is excluded in the site file
    if (condition < 0) continue
    const rule: QualityRule = { condition, holds: conditionOf(when), quality: set.quality, reason: set.reason }
    for (const tag of tags) perTag[names.indexOf(tag)]?.push(rule)
  }
  for (const list of perTag) list.sort((a, b) => Number(a.quality === 'uncertain') - Number(b.quality === 'uncertain'))
  return perTag
}

function conditionOf(when: Profile['rules'][number]['when']): (value: Value) => boolean {
  const plain = (value: Value): boolean | number | string => (typeof value === 'bigint' ? Number(value) : value)
  return value => {
    const is = plain(value)
    if (when.is !== undefined && is !== when.is) return false
    if (when.not !== undefined && is === when.not) return false
    return when.in === undefined || (typeof is === 'number' && when.in.includes(is))
  }
}
