import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { nodeFiles } from '@penstock/core/runtime/node-files.ts'
import type { Simulator } from './simulator.ts'
import type { DeviceInfo } from './views.ts'

/** Reads JSON {site: port}. @throws PenstockError `config-missing` or `config-invalid` */
export function readPorts(path: string): Readonly<Record<string, number>> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const cause = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new PenstockError('config-missing', { path, cause }, { cause: error })
  }
  try {
    const ports = JSON.parse(text) as Record<string, unknown>
    if (Object.values(ports).every(port => Number.isInteger(port))) return ports as Record<string, number>
  } catch {
    // Falls through to the message below.
  }
  throw new PenstockError('config-invalid', { text: `${path} must be JSON such as {"waterworks": 15021}` })
}

export const writeJson = (path: string, value: object): Promise<void> =>
  nodeFiles.replace(path, Buffer.from(`${JSON.stringify(value)}\n`))

/** Writes a secret for its owner alone, also where the file was readable to others before. */
export function writeSecret(path: string, secret: string): void {
  rmSync(path, { force: true })
  writeFileSync(path, `${secret}\n`, { mode: 0o600, flag: 'wx' })
}

/** What a person needs to connect any Modbus TCP client: sites, ports, unit ids and, if asked for, register maps. */
export function portTable(simulator: Simulator, host: string, maps: boolean): string {
  const lines = [`scenario ${simulator.scenario.scenario}: ${simulator.scenario.title.en}`, '']
  const models = new Map<string, DeviceInfo>()
  for (const { id, name, port, devices } of simulator.sites) {
    lines.push(`${id.padEnd(14)} ${host}:${port}  ${name}`)
    const shown = devices.length > 12 ? devices.slice(0, 3) : devices
    for (const device of shown) {
      models.set(device.kind, models.get(device.kind) ?? device)
      lines.push(`  unit ${String(device.unitId).padStart(3)}  ${device.id.padEnd(14)} ${device.kind}`)
    }
    if (shown.length < devices.length) {
      const last = devices.at(-1)
      lines.push(`  ... to unit ${last?.unitId}  ${last?.id} (${devices.length} devices)`)
    }
  }
  if (!maps) lines.push('', '(register maps: --maps)')
  else for (const [kind, { map }] of models) lines.push('', ...mapLines(kind, map))
  return lines.join('\n')
}

const mapLines = (kind: string, map: DeviceInfo['map']): string[] => [
  `${kind}: address on the wire, from 0`,
  ...map.map(({ address, type, meaning }) => `  ${String(address).padStart(5)}  ${type.padEnd(5)} ${meaning}`),
]
