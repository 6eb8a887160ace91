import type { Site } from '../scenario-file.ts'
import { Detector, type DetectorPlace } from './detector.ts'
import { Room } from './gas.ts'
import { Meter } from './meter.ts'
import { Random } from './random.ts'
import { Flow, Tank } from './water.ts'
import { Emission, Wind } from './wind.ts'

interface HungDetector {
  readonly detector: Detector
  readonly room: Room
  readonly emission: Emission
  readonly lowPpm: number
}

/** The physics of one site: water and gas, without any instrument. Deterministic by seed and by the sequence of steps. */
export class SitePlant {
  readonly tanks = new Map<string, Tank>()
  readonly flows = new Map<string, Flow>()
  readonly rooms = new Map<string, Room>()
  readonly meters = new Map<string, Meter>()
  readonly detectors = new Map<string, HungDetector>()
  readonly wind: Wind
  readonly #emissions = new Map<string, Emission>()

  constructor(site: Site, seed: number, startLitres: ReadonlyMap<string, bigint>) {
    this.wind = new Wind(site.wind, new Random(seed, `${site.id} wind`))
    for (const { id, capacityM3, level } of site.tanks) this.tanks.set(id, new Tank(capacityM3, level))
    for (const { id, from, to, noise, pump, user } of site.flows) {
      const drive = pump ? { kind: 'pump' as const, ...pump } : user ? { kind: 'user' as const, ...user } : null
      if (!drive) throw new TypeError(`flow ${id} has no drive`)
      const tank = (name: string | null) => (name === null ? null : (this.tanks.get(name) ?? null))
      const random = new Random(seed, `${site.id} flow ${id}`)
      this.flows.set(id, new Flow({ from: tank(from), to: tank(to), drive, noise, random }))
    }
    for (const { id, ...room } of site.rooms) {
      this.rooms.set(id, new Room(room))
      this.#emissions.set(id, new Emission())
    }
    for (const { id, meter, detector } of site.devices) {
      if (meter) {
        const made = new Meter(1000, startLitres.get(id) ?? 0n)
        this.meters.set(id, made)
        this.flows.get(meter.flow)?.meters.push(made)
      }
      const room = detector && this.rooms.get(detector.room)
      const emission = detector && this.#emissions.get(detector.room)
      if (!room || !emission) continue
      const random = new Random(seed, `${site.id} detector ${id}`)
      const hung = new Detector({ ...detector, gas: room.gas, place: placeOf(detector.place) }, random)
      this.detectors.set(id, { detector: hung, room, emission, lowPpm: detector.lowPpm })
    }
  }

  step(now: number, stepMs: number): void {
    this.wind.step(stepMs)
    for (const flow of this.flows.values()) flow.step(now, stepMs)
    for (const [id, room] of this.rooms) {
      room.step(now, stepMs)
      this.#emissions.get(id)?.add(now, room.outsideMgPerSecond)
    }
    for (const { detector, room, emission, lowPpm } of this.detectors.values()) {
      detector.step(now, stepMs, room, this.wind, emission)
      if (detector.ppm >= lowPpm) room.interlock(now)
    }
  }

  save() {
    return {
      tanks: Object.fromEntries(
        [...this.tanks].map(([id, { volumeMicro, overflowMicro }]) => [id, { volumeMicro, overflowMicro }]),
      ),
      flows: Object.fromEntries([...this.flows].map(([id, flow]) => [id, flow.save()])),
      rooms: Object.fromEntries([...this.rooms].map(([id, room]) => [id, room.save()])),
      meters: Object.fromEntries([...this.meters].map(([id, meter]) => [id, meter.save()])),
    }
  }

  /** Takes over what a saved state has of what this plant has. */
  restore(saved: ReturnType<SitePlant['save']>): void {
    for (const [id, tank] of this.tanks) Object.assign(tank, saved.tanks[id])
    const each = <T extends { restore(saved: S): void }, S>(
      items: ReadonlyMap<string, T>,
      from: Readonly<Record<string, S>>,
    ) => {
      for (const [id, item] of items) {
        const value = from[id]
        if (value !== undefined) item.restore(value)
      }
    }
    each(this.flows, saved.flows)
    each(this.rooms, saved.rooms)
    each(this.meters, saved.meters)
  }
}

function placeOf({ distanceM, bearingDegrees }: { distanceM: number; bearingDegrees: number | null }): DetectorPlace {
  return bearingDegrees === null ? { kind: 'inside', distanceM } : { kind: 'outside', distanceM, bearingDegrees }
}
