import { exceptions, type Unit } from './unit.ts'

const headerSize = 7

/** An answer: MBAP header of the request's transaction and unit, function and payload of `size` bytes still to fill. */
function answer(request: Buffer, size: number): Buffer {
  const frame = Buffer.allocUnsafe(headerSize + 1 + size)
  request.copy(frame, 0, 0, 2)
  frame.writeUInt16BE(0, 2)
  frame.writeUInt16BE(size + 2, 4)
  frame[6] = request[6] ?? 0
  frame[7] = request[7] ?? 0
  return frame
}

export function exceptionAnswer(request: Buffer, code: number): Buffer {
  const frame = answer(request, 1)
  frame[7] = (request[7] ?? 0) | 0x80
  frame[8] = code
  return frame
}

/** Carries out one whole request frame (MBAP header and PDU) at a unit and returns the whole answer frame. */
export function execute(unit: Unit, request: Buffer): Buffer {
  const functionCode = request[headerSize] ?? 0
  if (!unit.functions.has(functionCode)) return exceptionAnswer(request, exceptions.illegalFunction)
  if (request.length < headerSize + 5) return exceptionAnswer(request, exceptions.illegalValue)
  switch (functionCode) {
    case 1:
    case 2:
      return readBits(unit, request, functionCode === 1 ? 'coil' : 'discrete')
    case 3:
    case 4:
      return readWords(unit, request, functionCode === 3 ? 'holding' : 'input')
    case 6:
      return writeOne(unit, request)
    case 16:
      return writeMany(unit, request)
    default:
      return exceptionAnswer(request, exceptions.illegalFunction)
  }
}

function readBits(unit: Unit, request: Buffer, table: 'coil' | 'discrete'): Buffer {
  const address = request.readUInt16BE(8)
  const count = request.readUInt16BE(10)
  if (request.length !== 12 || count < 1 || count > 2000) return exceptionAnswer(request, exceptions.illegalValue)
  const bits = unit.readBits(table, address, count)
  if (!bits) return exceptionAnswer(request, exceptions.illegalAddress)
  const size = Math.ceil(count / 8)
  const frame = answer(request, 1 + size).fill(0, 9)
  frame[8] = size
  bits.forEach((bit, place) => {
    if (bit) frame[9 + (place >> 3)] = (frame[9 + (place >> 3)] ?? 0) | (1 << (place & 7))
  })
  return frame
}

function readWords(unit: Unit, request: Buffer, table: 'holding' | 'input'): Buffer {
  const address = request.readUInt16BE(8)
  const count = request.readUInt16BE(10)
  if (request.length !== 12 || count < 1 || count > 125) return exceptionAnswer(request, exceptions.illegalValue)
  const frame = answer(request, 1 + 2 * count)
  frame[8] = 2 * count
  return unit.readWords(table, address, count, frame, 9) ? frame : exceptionAnswer(request, exceptions.illegalAddress)
}

function writeOne(unit: Unit, request: Buffer): Buffer {
  if (request.length !== 12) return exceptionAnswer(request, exceptions.illegalValue)
  const refused = unit.writeWords(request.readUInt16BE(8), [request.readUInt16BE(10)])
  if (refused !== null) return exceptionAnswer(request, refused)
  const frame = answer(request, 4)
  request.copy(frame, 8, 8, 12)
  return frame
}

function writeMany(unit: Unit, request: Buffer): Buffer {
  const count = request.readUInt16BE(10)
  if (count < 1 || count > 123 || request[12] !== 2 * count || request.length !== 13 + 2 * count) {
    return exceptionAnswer(request, exceptions.illegalValue)
  }
  const values = Array.from({ length: count }, (_, place) => request.readUInt16BE(13 + 2 * place))
  const refused = unit.writeWords(request.readUInt16BE(8), values)
  if (refused !== null) return exceptionAnswer(request, refused)
  const frame = answer(request, 4)
  request.copy(frame, 8, 8, 12)
  return frame
}
