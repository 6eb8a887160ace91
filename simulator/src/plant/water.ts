import { type DayProfile, demandM3PerHour } from './day-profile.ts'
import { type Meter, microPerM3 } from './meter.ts'
import { type Random, Wander } from './random.ts'

/** A tank with an overflow; contents in 10⁻⁶ m³. */
export class Tank {
  readonly capacityMicro: number
  volumeMicro: number
  /** what has run over the edge since the start */
  overflowMicro = 0

  constructor(capacityM3: number, level: number) {
    this.capacityMicro = Math.round(capacityM3 * microPerM3)
    this.volumeMicro = Math.round(capacityM3 * microPerM3 * level)
  }

  /** 0 to 1 */
  get level(): number {
    return this.volumeMicro / this.capacityMicro
  }

  add(micro: number): void {
    this.volumeMicro += micro
    const over = this.volumeMicro - this.capacityMicro
    if (over <= 0) return
    this.volumeMicro = this.capacityMicro
    this.overflowMicro += over
  }

  /** Takes what is there of what is wanted. */
  take(micro: number): number {
    const taken = Math.min(micro, this.volumeMicro)
    this.volumeMicro -= taken
    return taken
  }
}

/** Start and stop of a pump by the level of the tank that it fills, 0 to 1. */
export interface LevelBand {
  readonly startBelow: number
  readonly stopAbove: number
}

export interface PumpControl extends LevelBand {
  /** another band for the hours of cheap current, Asia/Shanghai */
  readonly night: (LevelBand & { readonly fromHour: number; readonly toHour: number }) | null
}

export type PumpMode = 'auto' | 'on' | 'off'

/** What decides how much flows. */
export type Drive =
  | {
      readonly kind: 'pump'
      readonly ratedM3PerHour: number
      readonly rampMs: number
      readonly control: PumpControl | null
    }
  | { readonly kind: 'user'; readonly annualM3: number; readonly profile: DayProfile }

export interface FlowOptions {
  /** null: a river or a well, which gives what is asked */
  readonly from: Tank | null
  /** null: the user, or the drain */
  readonly to: Tank | null
  readonly drive: Drive
  /** standard deviation of the flow as a part of it */
  readonly noise: number
  readonly random: Random
}

/** Water on its way from one place to another through a pipe, with the meters on that pipe. */
export class Flow {
  readonly from: Tank | null
  readonly to: Tank | null
  readonly drive: Drive
  readonly meters: Meter[] = []
  readonly #wander: Wander
  #noise: number
  /** pump: what the operator has chosen */
  mode: PumpMode = 'auto'
  /** user: demand is multiplied by this */
  factor = 1
  running: boolean
  #speed: number
  #fractionMicro = 0
  #passedMicro = 0

  constructor({ from, to, drive, noise, random }: FlowOptions) {
    this.from = from
    this.to = to
    this.drive = drive
    this.#noise = noise
    this.#wander = new Wander(random, 1, 60_000)
    this.running =
      drive.kind === 'pump' && (drive.control === null || (to !== null && to.level < drive.control.stopAbove))
    this.#speed = this.running ? 1 : 0
  }

  /** 10⁻⁶ m³ that have passed since the start */
  get passedMicro(): number {
    return this.#passedMicro
  }

  step(now: number, stepMs: number): void {
    const ratio = Math.max(0, 1 + this.#noise * this.#wander.step(stepMs))
    const wanted = Math.max(0, this.#wantedM3PerHour(now, stepMs) * ratio * (stepMs / 3.6)) + this.#fractionMicro
    const whole = Math.floor(wanted)
    this.#fractionMicro = wanted - whole
    const passed = this.from ? this.from.take(whole) : whole
    this.to?.add(passed)
    this.#passedMicro += passed
    for (const meter of this.meters) meter.pass(passed, stepMs)
  }

  save() {
    return {
      running: this.running,
      speed: this.#speed,
      passedMicro: this.#passedMicro,
      mode: this.mode,
      factor: this.factor,
    }
  }

  restore(saved: ReturnType<Flow['save']>): void {
    this.running = saved.running
    this.#speed = saved.speed
    this.#passedMicro = saved.passedMicro
  }

  #wantedM3PerHour(now: number, stepMs: number): number {
    const { drive } = this
    if (drive.kind === 'user') return this.factor * demandM3PerHour(drive.profile, drive.annualM3, now)
    this.running = this.#shouldRun(now, drive.control)
    const change = drive.rampMs > 0 ? stepMs / drive.rampMs : 1
    this.#speed = this.running ? Math.min(1, this.#speed + change) : Math.max(0, this.#speed - change)
    return this.factor * drive.ratedM3PerHour * this.#speed
  }

  #shouldRun(now: number, control: PumpControl | null): boolean {
    if (this.mode !== 'auto') return this.mode === 'on'
    if (control === null || this.to === null) return true
    const band =
      control.night && isWithinHours(now, control.night.fromHour, control.night.toHour) ? control.night : control
    if (this.to.level < band.startBelow) return true
    if (this.to.level > band.stopAbove) return false
    return this.running
  }
}

/** Whether the hour of the day in Asia/Shanghai lies in from..to, over midnight when from > to. */
function isWithinHours(now: number, fromHour: number, toHour: number): boolean {
  const hour = Math.floor(now / 3_600_000 + 8) % 24
  return fromHour <= toHour ? hour >= fromHour && hour < toHour : hour >= fromHour || hour < toHour
}
