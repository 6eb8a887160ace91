import { type Logger as Pino, pino } from 'pino'
import { PenstockError } from './errors.ts'

/** Structured lines on standard error; never pass secrets. */
export type Logger = Pick<Pino, 'debug' | 'info' | 'warn' | 'error'> & { child(bindings: object): Logger }

const levels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof levels)[number]

/** The level that `PENSTOCK_LOG` asks for, `otherwise` if it says nothing. @throws PenstockError `config-invalid` */
export function logLevel(otherwise: LogLevel = 'info', text = process.env.PENSTOCK_LOG): LogLevel {
  if (text === undefined || text === '') return otherwise
  const level = levels.find(known => known === text)
  if (level) return level
  throw new PenstockError('config-invalid', { text: `PENSTOCK_LOG is "${text}"; write one of: ${levels.join(', ')}` })
}

/** @throws PenstockError `config-invalid` for a level that does not exist */
export const openLogger = (name: string, level: LogLevel = logLevel()): Logger =>
  pino({ name, level, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }))

export const silentLogger: Logger = pino({ level: 'silent' })
