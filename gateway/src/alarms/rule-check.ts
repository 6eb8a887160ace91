import { lintAgainstTags } from '@penstock/core/alarms/lint.ts'
import type { RuleFile } from '@penstock/core/alarms/rule-file.ts'
import type { Ticker } from '@penstock/core/runtime/clock.ts'
import type { LiveTag } from '../live/table.ts'

/** Births come and go; it is looked at again after this. */
const againMs = 30_000
/** A rule that fits none of a thousand tags is told once, with the first ones. */
const longestList = 20

export interface RuleCheckDeps {
  readonly rules: () => readonly RuleFile[]
  readonly tags: () => Iterable<LiveTag>
  readonly ticker: Ticker
}

/** Rules held against the tags that exist: a rule in ppb on a tag in ppm would never mean what was meant. */
export class RuleCheck {
  readonly #deps: RuleCheckDeps
  #checked: readonly RuleFile[] | null = null
  #checkedAt = 0
  #problems: readonly string[] = []

  constructor(deps: RuleCheckDeps) {
    this.#deps = deps
  }

  /** In words, empty when every rule fits; at most 20. */
  problems(): readonly string[] {
    const { rules, tags, ticker } = this.#deps
    const files = rules()
    const now = ticker.now()
    if (files === this.#checked && now - this.#checkedAt < againMs) return this.#problems
    this.#checked = files
    this.#checkedAt = now
    // The live table keeps no measuring range: set points outside it are not found here.
    const known = [...tags()].flatMap(tag =>
      tag.heartbeatMs === null ? [] : [{ ...tag, heartbeatMs: tag.heartbeatMs, min: null, max: null }],
    )
    const found = files.flatMap(file =>
      lintAgainstTags(file, known)
        .filter(({ severity }) => severity === 'error')
        .map(({ path, message }) => `rule ${file.rules[Number(path[1])]?.id ?? path.join('.')}: ${message}`),
    )
    this.#problems = found.slice(0, longestList)
    return this.#problems
  }
}
