import { type Logger as Pino, pino } from 'pino'

/** Structured lines on standard error; never pass secrets. */
export type Logger = Pick<Pino, 'debug' | 'info' | 'warn' | 'error'> & { child(bindings: object): Logger }

export const openLogger = (name: string, level = process.env.PENSTOCK_LOG ?? 'info'): Logger =>
  pino({ name, level, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }))

export const silentLogger: Logger = pino({ level: 'silent' })
