import type { Profile, ProfileTag, RegisterType, WordOrder } from '@penstock/core/profile/schema.ts'
import type { Reason } from '@penstock/core/reading.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { DriverDevice, DriverTag } from '../driver.ts'
import { badConfiguration, badNumber, type Decoded, decodeBit, decoderOf, rawReaders, registersOf } from './decode.ts'
import type { ReadCode } from './frame.ts'
import { mostPerRead, type PlanItem } from './plan.ts'
import { checkedCount, decimal, powerOfTen, type RawTotal, type TotalScale, totalScale } from './total.ts'
import type { TotalMemory } from './total-memory.ts'

/** Registers of a tag that are read in one request, and what came of it. */
export interface Item extends PlanItem {
  /** the block's bytes and where this item begins in them; bits take one byte each */
  bytes: Buffer
  offset: number
  /** why it could not be read in the current scan; null: read */
  failure: Reason | null
  /** clock time of the answer */
  answeredAt: number
}

/** One tag as a scan reads it. */
export interface Point {
  readonly tag: number
  /** all of them must be read before `decode` */
  readonly items: readonly Item[]
  /** not for totals with a fraction: they go through `total` */
  decode(): Decoded
  readonly total: TotalPoint | null
}

/** A total whose parts may be torn. */
export interface TotalPoint {
  readonly memory: TotalMemory
  /** null: not a number, unknown unit or multiplier */
  raw(): RawTotal | null
}

const item = (functionCode: ReadCode, start: number, count: number): Item => ({
  functionCode,
  start,
  count,
  bytes: none,
  offset: 0,
  failure: 'not-read',
  answeredAt: 0,
})
const none = Buffer.alloc(0)

/** Compiles tags of a device for one scan. `memoryOf` is shared by all scans that read the same total. */
export function pointsOf(
  device: DriverDevice,
  tags: readonly (readonly [number, DriverTag])[],
  memoryOf: (tag: number) => TotalMemory,
): Point[] {
  return tags.map(([index, tag]) => pointOf(device, index, tag.profile, memoryOf))
}

function pointOf(
  device: DriverDevice,
  tag: number,
  profile: ProfileTag,
  memoryOf: (tag: number) => TotalMemory,
): Point {
  const { modbus } = device.profile
  const functionCode = profile.functionCode ?? modbus.functionCode
  if (profile.total) return totalPoint(device, tag, profile, functionCode, memoryOf)
  const start = profile.register ?? 0
  const type = profile.type ?? 'u16'
  if (functionCode <= 2) {
    if (type !== 'bool') throw wrong(device, profile, `function code ${functionCode} reads bits: its type must be bool`)
    const value = item(functionCode, start, 1)
    return { tag, items: [value], total: null, decode: () => decodeBit(value.bytes, value.offset) }
  }
  const value = item(functionCode, start, type === 'string' ? (profile.length ?? 1) : registersOf[type])
  const decode = decoderOf(profile, modbus.wordOrder)
  if (!profile.unitFrom) {
    return { tag, items: [value], total: null, decode: () => decode(value.bytes, value.offset) }
  }
  const { register, type: unitType, mask, factors } = profile.unitFrom
  const unit = item(functionCode, register, registersOf[numeric(device, profile, unitType)])
  const readCode = rawReaders[numeric(device, profile, unitType)](modbus.wordOrder)
  const factorOf = new Map(Object.entries(factors))
  return {
    tag,
    items: [value, unit],
    total: null,
    decode: () => {
      const code = Number(readCode(unit.bytes, unit.offset)) & (mask ?? 0xffff)
      const factor = factorOf.get(String(code))
      if (factor === undefined) return badConfiguration
      const raw = decode(value.bytes, value.offset)
      return factor === 1 || typeof raw !== 'number' ? raw : raw * factor
    },
  }
}

type NumericType = Exclude<RegisterType, 'string' | 'bool'>

function numeric(device: DriverDevice, tag: ProfileTag, type: RegisterType): NumericType {
  if (type === 'string' || type === 'bool') throw wrong(device, tag, `a number cannot be of type ${type}`)
  return type
}

const wrong = (device: DriverDevice, tag: ProfileTag, text: string): PenstockError =>
  new PenstockError('config-invalid', { text: `profile "${device.profile.profile}", tag "${tag.name}": ${text}` })

interface Part {
  readonly register: number
  readonly type: NumericType
  readonly order: WordOrder
}

/** A reader of one part: from its own item, or at its place in the item that all parts share. */
type ReadPart = () => number | bigint

function totalPoint(
  device: DriverDevice,
  tag: number,
  profile: ProfileTag,
  functionCode: ReadCode,
  memoryOf: (tag: number) => TotalMemory,
): Point {
  const { modbus } = device.profile
  const { total } = profile
  if (!total || functionCode <= 2) throw wrong(device, profile, 'a total is read from registers (function code 3 or 4)')
  const part = (source: { register: number; type: RegisterType; order?: WordOrder | undefined }): Part => ({
    register: source.register,
    type: numeric(device, profile, source.type),
    order: source.order ?? modbus.wordOrder,
  })
  const integer = part(total.integer)
  const fraction = total.fraction ? part(total.fraction) : null
  const multiplier = total.multiplier ? part(total.multiplier) : null
  const unitCode = total.unitCode ? part(total.unitCode) : null

  // integer part and fraction in one request, else they tear at every carry; what scales them with them where it fits
  const together = fraction ? [integer, fraction] : [integer]
  const apart: Part[] = []
  if (!fitsOneRead(together, device.profile, functionCode)) {
    throw wrong(device, profile, 'integer part and fraction cannot be read in one request')
  }
  for (const scaling of [multiplier, unitCode]) {
    if (!scaling) continue
    if (fitsOneRead([...together, scaling], device.profile, functionCode)) together.push(scaling)
    else apart.push(scaling)
  }
  const [start, end] = span(together)
  const shared = item(functionCode, start, end - start)
  const items = [shared, ...apart.map(source => item(functionCode, source.register, registersOf[source.type]))]
  const reader = (source: Part): ReadPart => {
    const read: (bytes: Buffer, at: number) => number | bigint = rawReaders[source.type](source.order)
    const own = items[1 + apart.indexOf(source)]
    if (apart.includes(source) && own) return () => read(own.bytes, own.offset)
    const distance = (source.register - start) * 2
    return () => read(shared.bytes, shared.offset + distance)
  }
  const readInteger = reader(integer)
  const readFraction = fraction && reader(fraction)
  const readScale = scaleReader(profile, multiplier && reader(multiplier), unitCode && reader(unitCode))
  const raw = (): RawTotal | null => {
    const whole = readInteger()
    const rest = readFraction ? Number(readFraction()) : 0
    const scale = readScale()
    if (scale === null || !Number.isFinite(rest)) return null
    if (typeof whole === 'bigint') return { integer: whole, fraction: rest, scale }
    if (!Number.isFinite(whole)) return null
    // a float as integer part brings its own fraction
    const floor = Math.trunc(whole)
    return { integer: BigInt(floor), fraction: rest + (whole - floor), scale }
  }
  const decode = (): Decoded => {
    const read = raw()
    if (read === null) return readScale() === null ? badConfiguration : badNumber
    return checkedCount(read)
  }
  return { tag, items, decode, total: fraction ? { memory: memoryOf(tag), raw } : null }
}

/** Counts of the resolution per count of the meter, from its multiplier and unit registers; null: a code we do not know. */
function scaleReader(
  profile: ProfileTag,
  multiplier: ReadPart | null,
  unitCode: ReadPart | null,
): () => TotalScale | null {
  const resolution = decimal(profile.resolution ?? '1')
  const one = decimal('1')
  const units = new Map(
    Object.entries(profile.total?.unitCode?.m3PerUnit ?? {}).map(([code, text]) => [code, decimal(text)]),
  )
  const { powerOfTen: exponent = true, offset = 0 } = profile.total?.multiplier ?? {}
  const factorOf = (code: number): TotalScale | null => {
    if (!exponent) return code > 0 && Number.isInteger(code) ? { numerator: BigInt(code), denominator: 1n } : null
    const power = code - offset
    return Number.isInteger(power) && Math.abs(power) <= 12 ? powerOfTen(power) : null
  }
  // the registers hardly ever change: the fraction is made when they do
  let lastMultiplier = Number.NaN
  let lastUnit = Number.NaN
  let scale: TotalScale | null = null
  return () => {
    const nowMultiplier = multiplier ? Number(multiplier()) : 0
    const nowUnit = unitCode ? Number(unitCode()) : 0
    if (nowMultiplier === lastMultiplier && nowUnit === lastUnit) return scale
    lastMultiplier = nowMultiplier
    lastUnit = nowUnit
    const factor = multiplier ? factorOf(nowMultiplier) : one
    const unit = unitCode ? (units.get(String(nowUnit)) ?? null) : one
    scale = factor && unit ? totalScale(unit, resolution, factor) : null
    return scale
  }
}

function span(parts: readonly Part[]): readonly [number, number] {
  const start = Math.min(...parts.map(part => part.register))
  return [start, Math.max(...parts.map(part => part.register + registersOf[part.type]))]
}

function fitsOneRead(parts: readonly Part[], { modbus }: Profile, functionCode: ReadCode): boolean {
  const [start, end] = span(parts)
  return (
    end - start <= mostPerRead(functionCode, modbus.maxRegisters) &&
    !modbus.avoid.some(([first, last]) => first < end && last >= start)
  )
}
