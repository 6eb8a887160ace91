import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'

/** Cost of scrypt: about 60 ms and 32 MiB for each attempt (RFC 7914; parameters are kept with the hash). */
const cost = { N: 2 ** 15, r: 8, p: 1 } as const

const derive = (password: string, salt: Buffer, size: number, options: ScryptOptions): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const limits = { ...options, maxmem: 256 * 2 ** 20 }
    scrypt(password.normalize('NFC'), salt, size, limits, (error, key) => (error ? reject(error) : resolve(key)))
  })

/** `scrypt$N$r$p$salt$hash`, salt and hash in base64url: what stands in users.yaml. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16)
  const key = await derive(password, salt, 32, cost)
  return ['scrypt', cost.N, cost.r, cost.p, salt.toString('base64url'), key.toString('base64url')].join('$')
}

/** Takes as long for an unknown user (`stored` null) as for a wrong password, so that names cannot be told by the time. */
export async function passwordFits(password: string, stored: string | null): Promise<boolean> {
  const [, N, r, p, salt, key] = (stored ?? '').split('$')
  const known = Buffer.from(key ?? '', 'base64url')
  const usable = salt !== undefined && known.length >= 16 && Number(N) <= 2 ** 17 && Number(r) <= 16 && Number(p) <= 4
  if (!usable) {
    await derive(password, Buffer.alloc(16), 32, cost)
    return false
  }
  const options = { N: Number(N), r: Number(r), p: Number(p) }
  const found = await derive(password, Buffer.from(salt, 'base64url'), known.length, options)
  return timingSafeEqual(found, known)
}
