import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseCommandLine, usage } from '@penstock/simulator/command-line.ts'
import { readPorts, writeSecret } from '@penstock/simulator/port-files.ts'
import { afterAll, describe, expect, it } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'penstock-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('the command line', () => {
  it('begins a leak on fixed ports of this machine when nothing is said', () => {
    expect(parseCommandLine([])).toMatchObject({
      task: 'run',
      scenario: 'chlorine-leak',
      seed: 1,
      speed: null,
      host: '127.0.0.1',
      portBase: 15_020,
      controlPort: null,
    })
  })

  it('takes what is said', () => {
    const args = ['--scenario', 'calm-day', '--speed', '2.5', '--control', '0', '--host', '0.0.0.0', '--allow-remote']
    expect(parseCommandLine(args)).toMatchObject({ scenario: 'calm-day', speed: 2.5, controlPort: 0, host: '0.0.0.0' })
    expect(parseCommandLine(['--list']).task).toBe('list')
    expect(parseCommandLine(['--check']).task).toBe('check')
  })

  it.each([
    [['--host', '0.0.0.0'], 'add --allow-remote'],
    [['--host', '192.0.2.7'], 'add --allow-remote'],
    [['--seed', 'one'], '--seed is "one"; write a whole number from 0'],
    [['--seed', ''], '--seed is ""'],
    [['--speed', '0'], '--speed is "0"; write a number from 0.01'],
    [['--control', '70000'], '--control is "70000"'],
    [['--speeed', '2'], "'--speeed'"],
    [['stray'], "'stray'"],
    [['--speed', '2', '--clock', 'clock.json'], 'exclude each other'],
  ])('refuses %j', (args, message) => {
    expect(() => parseCommandLine(args)).toThrow(message)
  })

  it('explains every option that it knows', () => {
    const explained = [...usage.matchAll(/^ {2}--([a-z-]+)/gm)].map(([, name]) => name ?? '')
    for (const name of explained) {
      expect(() => parseCommandLine([`--${name}`]), name).not.toThrow(/Unknown option/)
    }
    expect(explained).toHaveLength(16)
  })
})

describe('files', () => {
  it('of ports are JSON of whole numbers', () => {
    const path = join(folder, 'ports.json')
    writeFileSync(path, '{"waterworks": 15021}')
    expect(readPorts(path)).toEqual({ waterworks: 15_021 })
    writeFileSync(path, '{"waterworks": "x"}')
    expect(() => readPorts(path)).toThrow('must be JSON such as')
    expect(() => readPorts(join(folder, 'none.json'))).toThrow('cannot be read (ENOENT)')
  })

  it('with a secret are for their owner alone, even where the file was open before', () => {
    const path = join(folder, 'token')
    writeFileSync(path, 'old', { mode: 0o666 })
    writeSecret(path, 'new')
    expect(readFileSync(path, 'utf8')).toBe('new\n')
    expect(statSync(path).mode & 0o077).toBe(0)
  })
})
