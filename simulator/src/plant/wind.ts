import { type Random, Wander } from './random.ts'

export interface WindOptions {
  readonly meanMetresPerSecond: number
  /** where it blows to, degrees clockwise from north */
  readonly towardsDegrees: number
}

/** Wind over one site: mean speed and direction with slow wandering. */
export class Wind {
  readonly #options: WindOptions
  readonly #speed: Wander
  readonly #direction: Wander
  metresPerSecond: number
  towardsDegrees: number

  constructor(options: WindOptions, random: Random) {
    this.#options = options
    this.#speed = new Wander(random, 0.2 * options.meanMetresPerSecond, 120_000)
    this.#direction = new Wander(random, 12, 300_000)
    this.metresPerSecond = options.meanMetresPerSecond
    this.towardsDegrees = options.towardsDegrees
  }

  step(stepMs: number): void {
    this.metresPerSecond = Math.max(0.3, this.#options.meanMetresPerSecond + this.#speed.step(stepMs))
    this.towardsDegrees = this.#options.towardsDegrees + this.#direction.step(stepMs)
  }
}

/** What a stack has blown out over the last minutes, for puffs that are still on their way. */
export class Emission {
  readonly #entries: { at: number; mgPerSecond: number }[] = []

  add(at: number, mgPerSecond: number): void {
    this.#entries.push({ at, mgPerSecond })
    while (this.#entries.length > 0 && (this.#entries[0]?.at ?? at) < at - 600_000) this.#entries.shift()
  }

  /** The emission at an instant, 0 before the record begins. */
  at(instant: number): number {
    for (let place = this.#entries.length - 1; place >= 0; place--) {
      const entry = this.#entries[place]
      if (entry && entry.at <= instant) return entry.mgPerSecond
    }
    return 0
  }
}

/**
 * mg/m³ near the ground at a place downwind of a small source: Gaussian plume with reflection at the ground, spreads of
 * open country in neutral air (Briggs), what arrives now having left the source distance / speed ago.
 */
export function plume(
  emission: Emission,
  wind: Wind,
  place: { distanceM: number; bearingDegrees: number },
  now: number,
): number {
  const angle = ((place.bearingDegrees - wind.towardsDegrees) * Math.PI) / 180
  const along = place.distanceM * Math.cos(angle)
  const across = place.distanceM * Math.sin(angle)
  if (along <= 0) return 0
  const mgPerSecond = emission.at(now - (along / wind.metresPerSecond) * 1000)
  if (mgPerSecond === 0) return 0
  const spreadAcross = Math.max(0.5, (0.08 * along) / Math.sqrt(1 + 0.0001 * along))
  const spreadUp = Math.max(0.5, (0.06 * along) / Math.sqrt(1 + 0.0015 * along))
  const centre = mgPerSecond / (Math.PI * wind.metresPerSecond * spreadAcross * spreadUp)
  return centre * Math.exp(-(across ** 2) / (2 * spreadAcross ** 2))
}
