import type { Gas, Room } from './gas.ts'
import { ppmOf } from './gas.ts'
import type { Random } from './random.ts'
import { type Emission, plume, type Wind } from './wind.ts'

export type DetectorPlace =
  | { readonly kind: 'inside'; readonly distanceM: number }
  | { readonly kind: 'outside'; readonly distanceM: number; readonly bearingDegrees: number }

export interface DetectorOptions {
  readonly gas: Gas
  readonly place: DetectorPlace
  /** time to 90 % of a step of concentration */
  readonly t90Ms: number
  readonly noisePpm: number
  /** smallest step that the display shows */
  readonly stepPpm: number
}

/** How fast gas drifts through a closed room. */
const indoorMetresPerSecond = 0.3

/** A gas cell: the concentration at its place, late by the way through the room and by the response of the cell, with noise. */
export class Detector {
  readonly #options: DetectorOptions
  readonly #random: Random
  #arrivedPpm = 0
  #cellPpm = 0
  #shownPpm = 0

  constructor(options: DetectorOptions, random: Random) {
    this.#options = options
    this.#random = random
  }

  get ppm(): number {
    return this.#shownPpm
  }

  step(now: number, stepMs: number, room: Room, wind: Wind, emission: Emission): void {
    const { gas, place, t90Ms, noisePpm, stepPpm } = this.#options
    if (place.kind === 'inside') {
      const truth = ppmOf(gas, room.mgPerM3)
      this.#arrivedPpm = approach(this.#arrivedPpm, truth, stepMs, (place.distanceM / indoorMetresPerSecond) * 1000)
    } else {
      this.#arrivedPpm = ppmOf(gas, plume(emission, wind, place, now))
    }
    // First order: 90 % after ln 10 time constants.
    this.#cellPpm = approach(this.#cellPpm, this.#arrivedPpm, stepMs, t90Ms / Math.LN10)
    const noisy = Math.max(0, this.#cellPpm + noisePpm * this.#random.normal())
    this.#shownPpm = Math.round(noisy / stepPpm) * stepPpm
  }
}

function approach(from: number, to: number, stepMs: number, timeConstantMs: number): number {
  return timeConstantMs <= 0 ? to : to + (from - to) * Math.exp(-stepMs / timeConstantMs)
}
