/**
 * Calls `stop` when the parent that opened our standard input is gone (only where it asked for that by PENSTOCK_STOP_WITH_PARENT),
 * so that a killed `npm start` leaves no process behind.
 */
export function stopWithParent(stop: () => void): void {
  if (process.env.PENSTOCK_STOP_WITH_PARENT !== '1') return
  process.stdin.on('end', stop)
  process.stdin.on('error', stop)
  process.stdin.resume()
}
