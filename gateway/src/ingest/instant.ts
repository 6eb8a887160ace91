/** Both times of one moment: `now` for stamps (ms UTC), `tick` for time-outs (machine time, ms). */
export interface Instant {
  readonly now: number
  readonly tick: number
}
