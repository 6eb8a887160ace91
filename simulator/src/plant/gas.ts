/** Gases that the plants hold; ppm = mg/m³ × 24.055 / molar mass, at 20 °C. */
export const gases = {
  chlorine: { molarMass: 70.906 },
  ammonia: { molarMass: 17.031 },
} as const

export type Gas = keyof typeof gases

const molarVolume20 = 24.055

export const ppmOf = (gas: Gas, mgPerM3: number): number => (mgPerM3 * molarVolume20) / gases[gas].molarMass

export interface RoomOptions {
  readonly gas: Gas
  readonly volumeM3: number
  readonly airChangesPerHour: number
  /** with the emergency fan and the absorber running */
  readonly emergencyAirChangesPerHour: number
  /** part of the gas that the absorber holds back from what the emergency fan blows out, 0 to 1 */
  readonly absorbed: number
  /** deposition and reaction, per hour */
  readonly decayPerHour: number
  /** how long the fan runs on after the last detector has fallen below its low threshold */
  readonly fanRunOnMs: number
  readonly storedKg: number
}

/**
 * A room with gas under pressure in vessels: one well-mixed box with ventilation and decay, solved exactly for each step,
 * so that what was released = what is in the air + what went outside + what was absorbed or decayed.
 */
export class Room {
  readonly gas: Gas
  readonly volumeM3: number
  readonly #options: RoomOptions
  storedMg: number
  airMg = 0
  releasedMg = 0
  outsideMg = 0
  removedMg = 0
  leakMgPerSecond = 0
  /** set by the detectors of the room through the interlock */
  fanUntil = 0
  fanRunning = false
  #outsideMgPerSecond = 0

  constructor(options: RoomOptions) {
    this.gas = options.gas
    this.volumeM3 = options.volumeM3
    this.#options = options
    this.storedMg = options.storedKg * 1e6
  }

  get mgPerM3(): number {
    return this.airMg / this.volumeM3
  }

  /** what the last step blew outside */
  get outsideMgPerSecond(): number {
    return this.#outsideMgPerSecond
  }

  /** A detector stands above its low threshold: the fan runs from now until the run-on time after the last such moment. */
  interlock(now: number): void {
    this.fanUntil = now + this.#options.fanRunOnMs
  }

  step(now: number, stepMs: number): void {
    const { airChangesPerHour, emergencyAirChangesPerHour, decayPerHour, absorbed } = this.#options
    const seconds = stepMs / 1000
    this.fanRunning = now < this.fanUntil
    const released = Math.min(this.leakMgPerSecond * seconds, this.storedMg)
    const air = (this.fanRunning ? emergencyAirChangesPerHour : airChangesPerHour) / 3600
    const decay = decayPerHour / 3600
    const rate = air + decay
    const keep = Math.exp(-rate * seconds)
    const before = this.airMg
    this.airMg = rate > 0 ? before * keep + ((released / seconds) * (1 - keep)) / rate : before + released
    const left = before + released - this.airMg
    const vented = rate > 0 ? (left * air) / rate : 0
    const outside = this.fanRunning ? vented * (1 - absorbed) : vented
    this.storedMg -= released
    this.releasedMg += released
    this.outsideMg += outside
    this.removedMg += left - outside
    this.#outsideMgPerSecond = outside / seconds
  }

  save() {
    return { storedMg: this.storedMg }
  }

  restore(saved: { storedMg: number }): void {
    this.storedMg = saved.storedMg
  }
}
