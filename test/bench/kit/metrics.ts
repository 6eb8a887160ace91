/** What a program says of itself to Prometheus. */
export class Metrics {
  readonly #lines: readonly (readonly [name: string, labels: string, value: number])[]

  constructor(text: string) {
    this.#lines = text.split('\n').flatMap(line => {
      const parts = /^([a-z_]+)(\{.*\})? (\S+)$/.exec(line)
      return parts ? [[parts[1] ?? '', parts[2] ?? '', Number(parts[3])] as const] : []
    })
  }

  /** Over all labels, or those that contain `label`. @throws RangeError when there is no such metric */
  sum(name: string, label = ''): number {
    const found = this.#lines.filter(line => line[0] === name)
    if (found.length === 0) throw new RangeError(`there is no metric ${name}`)
    return found.filter(line => line[1].includes(label)).reduce((sum, line) => sum + line[2], 0)
  }

  get cpuSeconds(): number {
    return this.sum('process_cpu_seconds_total')
  }

  get rssMiB(): number {
    return this.sum('process_resident_memory_bytes') / 2 ** 20
  }
}

export async function readMetrics(url: string, token = ''): Promise<Metrics> {
  const response = await fetch(url, { headers: { Authorization: `Bearer ${token}` } })
  if (!response.ok) throw new Error(`${url}: ${response.status}`)
  return new Metrics(await response.text())
}
