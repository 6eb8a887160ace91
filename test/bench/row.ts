/** One line of a benchmark: what was reached, and its ceiling measured in the same run, so that the ratio survives a noisy machine. */
export interface Row {
  readonly what: string
  readonly value: number
  readonly unit: string
  /** what the bare machine does, null if there is nothing to compare with */
  readonly ceiling: number | null
  /** value / ceiling */
  readonly ratio: number | null
  /** what must be reached; `of` says whether it is a bound of the ratio or of the value, from below or above */
  readonly bar: { readonly of: 'ratio' | 'value'; readonly atLeast?: number; readonly atMost?: number } | null
}

export function reached({ value, ratio, bar }: Row): boolean {
  if (!bar) return true
  const measured = bar.of === 'ratio' ? (ratio ?? Number.NaN) : value
  return measured >= (bar.atLeast ?? Number.NEGATIVE_INFINITY) && measured <= (bar.atMost ?? Number.POSITIVE_INFINITY)
}

const digits = (value: number): string =>
  value.toLocaleString('en', { maximumFractionDigits: Math.abs(value) < 100 ? 2 : 0 })

function barText({ bar }: Row): string {
  if (!bar) return ''
  const bounds = [
    bar.atLeast === undefined ? [] : [`≥ ${digits(bar.atLeast)}`],
    bar.atMost === undefined ? [] : [`≤ ${digits(bar.atMost)}`],
  ].flat()
  return `${bar.of} ${bounds.join(', ')}`
}

/** The rows as an aligned table. */
export function formatRows(rows: readonly Row[]): string {
  const cells = [
    ['what', 'value', 'unit', 'ceiling', 'ratio', 'bar', ''],
    ...rows.map(row => [
      row.what,
      digits(row.value),
      row.unit,
      row.ceiling === null ? '' : digits(row.ceiling),
      row.ratio === null ? '' : row.ratio.toFixed(2),
      barText(row),
      row.bar === null ? '' : reached(row) ? 'reached' : 'MISSED',
    ]),
  ]
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map(line => (line[column] ?? '').length)))
  const isNumber = (column: number): boolean => column === 1 || column === 3 || column === 4
  return cells
    .map(line =>
      line
        .map((cell, column) =>
          isNumber(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
