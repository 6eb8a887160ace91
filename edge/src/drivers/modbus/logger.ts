import type { Reason, Value } from '@penstock/core/reading.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { Logger } from '@penstock/core/runtime/log.ts'
import type { Logbook } from '../../acquisition/acquisition.ts'
import type { DriverReading } from '../driver.ts'
import type { Failure } from './client.ts'
import { isBad } from './decode.ts'
import { type Request, readRequest, type Wire, writeRequest } from './request.ts'
import { reasonOf, type ScanDeps } from './scan.ts'
import { checkedCount, decimal, powerOfTen, totalScale } from './total.ts'
import type { Job, Unit } from './unit.ts'

/*
 * Registers of a data logger, holding registers, all numbers big-endian:
 *   0-1 u32 newest row (0: none; rows count from 1) · 2-3 u32 oldest row in the ring · 4 u16 ring size · 5 u16 decimal places
 *   10-11 u32 read-up-to (written by us): rows up to this may be overwritten
 *   100 + 10 · ((row − 1) mod ring): u32 row, u32 seconds since 1970 UTC, u64 count, u16 flags, u16 spare
 */
const headRegisters = 6
const readUpToRegister = 10
const firstRowRegister = 100
const rowRegisters = 10
const rowsPerRequest = 12
const readsOfOneRow = 3

interface Row {
  readonly number: number
  readonly stamp: number
  readonly count: bigint
}

interface Head {
  readonly newest: number
  readonly oldest: number
  readonly ring: number
  readonly places: number
}

export interface LoggerDeps extends ScanDeps {
  readonly log: Logger
  readonly logbook: Logbook
}

/**
 * Reads the rows of a data logger, each once and in order, as readings with the logger's own stamps. What has become durable
 * here is released in the logger by its read-up-to register; after a restart reading goes on behind the last durable row.
 */
export class LoggerJob implements Job {
  readonly unit: Unit
  dueAt = 0
  early = false
  queued = false
  readonly #deps: LoggerDeps
  readonly #wire: Wire
  readonly #totalTag: number
  readonly #rowTag: number
  readonly #resolution: string
  readonly #headRequest: Request
  #next: Request | null = null
  #onTheWire = false
  #running = false
  #head: Head | null = null
  #rows: Row[] = []
  #places = 0
  #attempts = 0
  /** last row that was handed on, null: none is known */
  #last: number | null = null
  #lastRow: Row | null = null
  /** row to write into read-up-to, null: nothing to release */
  #release: number | null = null
  #written: number | null = null
  #failing = false

  constructor(unit: Unit, wire: Wire, deps: LoggerDeps) {
    this.unit = unit
    this.#deps = deps
    this.#wire = wire
    const { device } = unit
    this.#totalTag = tagNamed(unit, 'total')
    this.#rowTag = tagNamed(unit, 'row')
    this.#resolution = device.tags[this.#totalTag]?.profile.resolution ?? '1'
    this.#headRequest = readRequest(unit, wire, this, 3, 0, headRegisters)
    const known = deps.logbook.lastRow(device.id)
    if (known !== null) {
      this.#last = Number(known)
      // the edge may have died between the sync and the write
      this.#release = this.#last
    }
  }

  get running(): boolean {
    return this.#running
  }

  get hasMore(): boolean {
    return this.#next !== null
  }

  start(): boolean {
    if (this.#onTheWire) return false
    this.#running = true
    this.#rows = []
    this.#head = null
    this.#attempts = 0
    this.#next = this.#release === null ? this.#headRequest : this.#writeRequest(this.#release)
    return true
  }

  next(): Request | null {
    const request = this.#next
    if (request) this.#onTheWire = true
    this.#next = null
    return request
  }

  answered(request: Request, data: Buffer, from: number): void {
    this.#onTheWire = false
    if (request === this.#headRequest) this.#readHead(data, from)
    else if (request.start === readUpToRegister) {
      if (this.#release === this.#written) this.#release = null
      this.#next = this.#headRequest
    } else this.#readRows(request, data, from)
  }

  failed(_: Request, failure: Failure): void {
    this.#onTheWire = false
    this.#finish(reasonOf(failure))
  }

  forget(): void {
    this.#onTheWire = false
  }

  stop(reason: Reason | null): void {
    if (!reason) this.#failing = true
    if (!this.#running) return
    this.#end()
    if (reason) this.#bad(reason)
  }

  #readHead(data: Buffer, from: number): void {
    const head: Head = {
      newest: data.readUInt32BE(from),
      oldest: data.readUInt32BE(from + 4),
      ring: data.readUInt16BE(from + 8),
      places: data.readUInt16BE(from + 10),
    }
    if (head.ring < 1 || firstRowRegister + head.ring * rowRegisters > 65536 || head.oldest > head.newest + 1) {
      this.#finish('protocol')
      return
    }
    this.#head = head
    this.#places = head.places
    if (this.#last !== null && head.newest < this.#last) {
      this.#deps.log.warn(
        { device: this.unit.device.id, newest: head.newest, read: this.#last },
        'the data logger counts its rows from the start again: reading all it has',
      )
      this.#last = null
    }
    this.#askRows()
  }

  /** The next rows in one request: not over the end of the ring, at most 12. */
  #askRows(): void {
    const head = this.#head
    if (!head) return
    const first = this.#firstToRead(head)
    if (this.#last !== null && this.#rows.length === 0 && first > this.#last + 1) {
      this.#deps.log.warn(
        { device: this.unit.device.id, from: this.#last + 1, to: first - 1 },
        'the data logger has overwritten rows that were not read',
      )
    }
    if (first > head.newest || head.newest === 0) {
      this.#finish()
      return
    }
    const slot = (first - 1) % head.ring
    const count = Math.min(rowsPerRequest, head.newest - first + 1, head.ring - slot)
    this.#next = readRequest(
      this.unit,
      this.#wire,
      this,
      3,
      firstRowRegister + slot * rowRegisters,
      count * rowRegisters,
    )
  }

  #firstToRead(head: Head): number {
    return Math.max(this.#rows.at(-1)?.number ?? this.#last ?? 0, head.oldest - 1) + 1
  }

  #readRows(request: Request, data: Buffer, from: number): void {
    const head = this.#head
    if (!head) return
    const first = this.#firstToRead(head)
    let torn = false
    for (let index = 0; index < request.count / rowRegisters; index++) {
      const at = from + index * rowRegisters * 2
      const number = data.readUInt32BE(at)
      // a row with another number is being written
      if (number !== first + index) {
        torn = true
        break
      }
      this.#rows.push({ number, stamp: data.readUInt32BE(at + 4) * 1000, count: data.readBigUInt64BE(at + 8) })
    }
    if (!torn) this.#attempts = 0
    else {
      this.unit.diagnosis.counters.torn++
      this.#attempts++
    }
    if (this.#attempts < readsOfOneRow) this.#askRows()
    else this.#finish()
  }

  /** Hands on what was read; `failure`: why the run ended early. */
  #finish(failure: Reason | null = null): void {
    const rows = this.#rows
    this.#end()
    this.unit.diagnosis.counters.scans++
    const last = rows.at(-1)
    if (last) this.#handOn(rows, last)
    if (failure) this.#bad(failure)
    else if (!last) this.#stillThere()
  }

  #handOn(rows: readonly Row[], last: Row): void {
    const readings = this.#readingsOf(rows)
    this.#last = last.number
    this.#lastRow = last
    this.#failing = false
    this.#deps.sink.scanned(this.unit.device, readings, {
      force: true,
      durable: () => {
        this.#release = Math.max(this.#release ?? 0, last.number)
        this.#wire.wake(this)
      },
    })
  }

  /**
   * Nothing new: only after a failure the last row is told again, so that its tags are good again. A repeat of the same
   * stamp and value is one reading.
   */
  #stillThere(): void {
    if (!this.#failing) return
    this.#failing = false
    this.#deps.sink.scanned(this.unit.device, this.#lastRow ? this.#readingsOf([this.#lastRow]) : [])
  }

  #readingsOf(rows: readonly Row[]): DriverReading[] {
    const scale = totalScale(decimal('1'), decimal(this.#resolution), powerOfTen(-this.#places))
    const readings = rows.map(row =>
      reading(this.#totalTag, checkedCount({ integer: row.count, fraction: 0, scale }), row.stamp),
    )
    const last = rows.at(-1)
    if (last) readings.push(reading(this.#rowTag, BigInt(last.number), last.stamp))
    return readings
  }

  #bad(reason: Reason): void {
    this.#failing = true
    const now = this.#deps.clock.now()
    this.#deps.sink.scanned(this.unit.device, [bad(this.#totalTag, reason, now), bad(this.#rowTag, reason, now)])
  }

  #end(): void {
    this.#running = false
    this.#next = null
    this.#rows = []
    this.#head = null
  }

  #writeRequest(row: number): Request {
    this.#written = row
    const registers = Buffer.alloc(4)
    registers.writeUInt32BE(row)
    return writeRequest(this.unit, this.#wire, this, readUpToRegister, registers)
  }
}

function tagNamed(unit: Unit, name: string): number {
  const index = unit.device.tags.findIndex(tag => tag.name === name)
  if (index >= 0) return index
  const profile = unit.device.profile.profile
  throw new PenstockError('config-invalid', { text: `profile "${profile}": a data logger needs the tag "${name}"` })
}

const bad = (tag: number, reason: Reason, sourceTimestamp: number): DriverReading => ({
  tag,
  value: null,
  quality: 'bad',
  reason,
  sourceTimestamp,
})

function reading(tag: number, decoded: Value | { readonly bad: Reason }, sourceTimestamp: number): DriverReading {
  if (isBad(decoded)) return bad(tag, decoded.bad, sourceTimestamp)
  return { tag, value: decoded, quality: 'good', reason: null, sourceTimestamp }
}
