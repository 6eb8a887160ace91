/** A device in calibration or maintenance: its readings raise nothing until `until`, at the latest. */
export interface Inhibit {
  /** `site/device` */
  readonly device: string
  readonly from: number
  readonly until: number
  readonly actor: string
  readonly reason: string
}

const keptWindows = 20

/** Inhibits of devices by operators: those that run, and when the last ones were (the record lane asks about the past). */
export class Inhibits {
  readonly #running = new Map<string, Inhibit>()
  readonly #past = new Map<string, { from: number; to: number }[]>()

  get running(): readonly Inhibit[] {
    return [...this.#running.values()].sort((a, b) => (a.device < b.device ? -1 : 1))
  }

  of(device: string | null): Inhibit | null {
    return device === null || this.#running.size === 0 ? null : (this.#running.get(device) ?? null)
  }

  start(inhibit: Inhibit): void {
    this.#running.set(inhibit.device, inhibit)
  }

  end(device: string, at: number): void {
    const inhibit = this.#running.get(device)
    if (!inhibit) return
    this.#running.delete(device)
    const past = this.#past.get(device) ?? []
    this.#past.set(device, [...past, { from: inhibit.from, to: at }].slice(-keptWindows))
  }

  /** Whether the device was inhibited at a time of the past. */
  covers(device: string | null, t: number): boolean {
    if (device === null) return false
    const running = this.#running.get(device)
    if (running && t >= running.from) return true
    return this.#past.get(device)?.some(window => t >= window.from && t < window.to) ?? false
  }

  toJson(): InhibitsJson {
    return { running: this.running, past: [...this.#past].sort(([a], [b]) => (a < b ? -1 : 1)) }
  }

  static from(json: InhibitsJson): Inhibits {
    const inhibits = new Inhibits()
    for (const inhibit of json.running) inhibits.#running.set(inhibit.device, inhibit)
    for (const [device, windows] of json.past) inhibits.#past.set(device, windows)
    return inhibits
  }
}

export interface InhibitsJson {
  readonly running: readonly Inhibit[]
  readonly past: [string, { from: number; to: number }[]][]
}
