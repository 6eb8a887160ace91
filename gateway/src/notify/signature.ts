import { createHmac } from 'node:crypto'

/**
 * Header `Penstock-Signature`: `t=<unix seconds>,v1=<hex of HMAC-SHA256(secret, t + "." + body)>`.
 * The receiver makes the same from the raw body, compares in constant time, and refuses a `t` that is too old.
 */
export function sign(secret: string, seconds: number, body: string): string {
  const code = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')
  return `t=${seconds},v1=${code}`
}
