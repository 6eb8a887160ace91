import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileLayer } from '@penstock/core/runtime/files.ts'

const machineId = '/etc/machine-id'

/**
 * Id of this box, so that an outbox that was copied to another one is noticed: the file of the site file, else the machine id
 * of the system, else one made in the data folder (which then travels with a copy of the folder).
 */
export async function readHardwareId(files: FileLayer, file: string | null, data: string): Promise<string> {
  for (const path of file === null ? [machineId] : [file]) {
    const id = (await readFile(path, 'utf8').catch(() => '')).trim()
    if (id) return id
  }
  const own = join(data, 'hardware-id')
  const known = await files.readWhole(own)
  const id = known === null ? '' : new TextDecoder().decode(known).trim()
  if (id) return id
  const made = randomUUID()
  await files.replace(own, new TextEncoder().encode(`${made}\n`))
  return made
}
