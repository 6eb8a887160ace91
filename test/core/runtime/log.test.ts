import { logLevel } from '@penstock/core/runtime/log.ts'
import { expect, test } from 'vitest'

test('the level of the log is what was asked for, else the usual one', () => {
  expect(logLevel('info', 'debug')).toBe('debug')
  expect(logLevel('warn', undefined)).toBe('warn')
  expect(logLevel('warn', '')).toBe('warn')
})

test('a level that does not exist is refused with those that do', () => {
  expect(() => logLevel('info', 'loud')).toThrow(
    'PENSTOCK_LOG is "loud"; write one of: debug, info, warn, error, silent',
  )
  expect(() => logLevel('info', 'INFO')).toThrow(expect.objectContaining({ code: 'config-invalid', retryable: false }))
})
