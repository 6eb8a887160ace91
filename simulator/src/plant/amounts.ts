/** Counts of 0.001 m³ of a decimal text of m³, exactly. */
export function litresOf(m3: string): bigint {
  const [integer = '0', fraction = ''] = m3.split('.')
  return BigInt(integer) * 1000n + BigInt(fraction.padEnd(3, '0').slice(0, 3))
}
