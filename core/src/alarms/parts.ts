import { TagColumns } from './columns.ts'
import { type CompiledRule, defaultMaxInhibitMs } from './compile.ts'
import { Inhibits } from './inhibits.ts'
import type { CommandAnswer } from './input.ts'
import type { Instance } from './instance.ts'

/** All state of the engine; `snapshot.ts` writes it to bytes and back. Everything else the engine has is made from it. */
export interface EngineParts {
  /** engine clock, ms UTC: the time of the newest input */
  now: number
  /** end of the last pause of the engine */
  bootedAt: number
  rulesHash: string
  maxInhibitMs: number
  rules: readonly CompiledRule[]
  readonly tags: TagColumns
  readonly instances: Map<string, Instance>
  /** edges seen, `group/edge` → online */
  readonly edges: Map<string, boolean>
  inhibits: Inhibits
  /** tags that say of themselves that they are in calibration, since when */
  readonly selfInhibits: Map<string, number>
  readonly answers: Map<string, { readonly command: string; readonly answer: CommandAnswer }>
}

export const emptyParts = (): EngineParts => ({
  now: 0,
  bootedAt: 0,
  rulesHash: '',
  maxInhibitMs: defaultMaxInhibitMs,
  rules: [],
  tags: new TagColumns(),
  instances: new Map(),
  edges: new Map(),
  inhibits: new Inhibits(),
  selfInhibits: new Map(),
  answers: new Map(),
})
