const polynomial = 0x82f63b78

/** Eight tables of 256: table k holds the effect of a byte that k further bytes follow ("slicing by 8"). */
const tables = buildTables()

function buildTables(): Int32Array {
  const built = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
    built[byte] = crc
  }
  for (let i = 256; i < built.length; i++) {
    const before = at(built, i - 256)
    built[i] = (before >>> 8) ^ at(built, before & 255)
  }
  return built
}

function at(table: Int32Array, index: number): number {
  return table[index] as number
}

/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes[start..end)`, unsigned. Incremental: pass the crc of what came before as `previous`.
 */
export function crc32c(bytes: Uint8Array, previous = 0, start = 0, end = bytes.length): number {
  const t = tables
  let crc = ~previous
  let i = start
  for (const last = end - 8; i <= last; i += 8) {
    const low =
      crc ^
      ((bytes[i] as number) |
        ((bytes[i + 1] as number) << 8) |
        ((bytes[i + 2] as number) << 16) |
        ((bytes[i + 3] as number) << 24))
    crc =
      at(t, 1792 + (low & 255)) ^
      at(t, 1536 + ((low >>> 8) & 255)) ^
      at(t, 1280 + ((low >>> 16) & 255)) ^
      at(t, 1024 + (low >>> 24)) ^
      at(t, 768 + (bytes[i + 4] as number)) ^
      at(t, 512 + (bytes[i + 5] as number)) ^
      at(t, 256 + (bytes[i + 6] as number)) ^
      at(t, bytes[i + 7] as number)
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ at(t, (crc ^ (bytes[i] as number)) & 255)
  return ~crc >>> 0
}

/** crc32c of the 8 bytes of a whole number below 2^53, least significant first. */
export function crc32cOfNumber(value: number, previous = 0): number {
  const t = tables
  const low = ~previous ^ (value | 0)
  const high = Math.floor(value / 0x1_0000_0000)
  const crc =
    at(t, 1792 + (low & 255)) ^
    at(t, 1536 + ((low >>> 8) & 255)) ^
    at(t, 1280 + ((low >>> 16) & 255)) ^
    at(t, 1024 + (low >>> 24)) ^
    at(t, 768 + (high & 255)) ^
    at(t, 512 + ((high >>> 8) & 255)) ^
    at(t, 256 + ((high >>> 16) & 255)) ^
    at(t, high >>> 24)
  return ~crc >>> 0
}
