/**
 * Frames of Modbus TCP: the MBAP header (transaction id, protocol id 0, length, unit id) and the PDU
 * (MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3).
 */
export const headerBytes = 7
/** unit id and PDU: at least function code and one byte, at most 253 bytes of PDU */
export const shortestLength = 3
export const longestLength = 254

export type ReadCode = 1 | 2 | 3 | 4
export const writeRegistersCode = 16

/** A read of coils or discrete inputs (1, 2: `count` bits) or registers (3, 4); the transaction id is filled in when sent. */
export function readFrame(unitId: number, functionCode: ReadCode, start: number, count: number): Buffer {
  const frame = header(unitId, 5)
  frame[7] = functionCode
  frame.writeUInt16BE(start, 8)
  frame.writeUInt16BE(count, 10)
  return frame
}

/** Function code 16 with the registers given as their bytes. */
export function writeFrame(unitId: number, start: number, registers: Buffer): Buffer {
  const frame = header(unitId, 6 + registers.length)
  frame[7] = writeRegistersCode
  frame.writeUInt16BE(start, 8)
  frame.writeUInt16BE(registers.length / 2, 10)
  frame[12] = registers.length
  registers.copy(frame, 13)
  return frame
}

/** Data bytes in the answer to a read. */
export const dataBytes = (functionCode: ReadCode, count: number): number =>
  functionCode <= 2 ? Math.ceil(count / 8) : count * 2

function header(unitId: number, pduBytes: number): Buffer {
  const frame = Buffer.alloc(headerBytes + pduBytes)
  frame.writeUInt16BE(1 + pduBytes, 4)
  frame[6] = unitId
  return frame
}

/** Exception codes in words (MODBUS Application Protocol V1.1b3, section 7). */
export const exceptionNames: Readonly<Record<number, string>> = {
  1: 'illegal function',
  2: 'illegal data address',
  3: 'illegal data value',
  4: 'server device failure',
  5: 'acknowledge, still working',
  6: 'server device busy',
  8: 'memory parity error',
  10: 'gateway path unavailable',
  11: 'gateway target device failed to respond',
}
