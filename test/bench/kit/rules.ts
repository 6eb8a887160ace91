/** Text of a rule file with one rule: high, and low if given. It raises and returns at once. */
export function limitRule({ tag, unit, high, low }: { tag: string; unit: string; high: number; low?: number }): string {
  const text = { zh: '{tag}', en: '{tag}' }
  const consequence = { zh: '仅用于测量', en: 'none: this is a benchmark' }
  return JSON.stringify({
    version: 1,
    rules: [
      {
        ...{ id: 'bench.limit', kind: 'limit', at: 'gateway', class: 'process', for_each: { tag }, unit, text },
        levels: [
          { name: 'H', at: `>= ${high}`, deadband: 1, on_delay: '0s', off_delay: '0s', priority: 'high' },
          ...(low === undefined
            ? []
            : [{ name: 'L', at: `<= ${low}`, deadband: 1, on_delay: '0s', off_delay: '0s', priority: 'high' }]),
        ],
        response: { consequence, action: { zh: ['无'], en: ['None'] }, time_to_respond: '5m' },
      },
    ],
  })
}
