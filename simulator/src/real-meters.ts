import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { LoggerRows } from './devices/logger.ts'

export const realMetersVariable = 'PENSTOCK_REAL_METERS'
const fileName = 'readings.csv.gz'
const row = /^([^,]+),(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}),(\d+)$/

/** Rows of one meter in the order of the file. */
export class MeterRows implements LoggerRows {
  readonly #stamps: number[] = []
  readonly #totals: number[] = []

  add(stamp: number, total: number): void {
    this.#stamps.push(stamp)
    this.#totals.push(total)
  }

  get length(): number {
    return this.#stamps.length
  }

  stamp(index: number): number {
    return this.#stamps[index] ?? 0
  }

  total(index: number): number {
    return this.#totals[index] ?? 0
  }
}

/**
 * Reads `meter,time,total` (CSV or CSV.gz, or the folder of `readings.csv.gz`): meters in the order of their first row.
 * Times have no offset and are those of Asia/Shanghai (+08:00); totals are whole counts.
 * @throws PenstockError `config-missing`, or `config-invalid` with the first wrong line
 */
export function readMeters(fileOrFolder: string): Map<string, MeterRows> {
  const path = isFolder(fileOrFolder) ? join(fileOrFolder, fileName) : fileOrFolder
  const lines = readText(path).split('\n')
  if (lines[0]?.trim() !== 'meter,time,total') {
    throw new PenstockError('config-invalid', { text: `${path}:1: the first line must be "meter,time,total"` })
  }
  const meters = new Map<string, MeterRows>()
  for (let line = 1; line < lines.length; line++) {
    const text = lines[line]?.trim() ?? ''
    if (text === '') continue
    const [, meter, time, total] = row.exec(text) ?? []
    if (meter === undefined || time === undefined || total === undefined) {
      const wrong = `${path}:${line + 1}: "${text}" is not meter,YYYY-MM-DDThh:mm:ss,whole number`
      throw new PenstockError('config-invalid', { text: wrong })
    }
    const rows = meters.get(meter) ?? new MeterRows()
    meters.set(meter, rows)
    rows.add(Date.parse(`${time}+08:00`) / 1000, Number(total))
  }
  return meters
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false

function readText(path: string): string {
  try {
    const bytes = readFileSync(path)
    return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8')
  } catch (error) {
    const cause = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new PenstockError('config-missing', { path, cause }, { cause: error })
  }
}
