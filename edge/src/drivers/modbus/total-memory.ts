import type { RawTotal } from './total.ts'

/** What is remembered of one total between scans; shared by all scans that read it. */
export interface TotalMemory {
  /** the last total that stood, null at the start */
  before: RawTotal | null
}
