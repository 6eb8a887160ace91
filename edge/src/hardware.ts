import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import type { FileLayer } from '@penstock/core/runtime/files.ts'

const machineId = '/etc/machine-id'

/**
 * Id of this box, so that an outbox that was copied to another one is noticed: the file of the site file, else the machine id
 * of the system, else one made in the data folder (which then travels with a copy of the folder). A file that the site file
 * names is never replaced by something else: with another id the gateway would take this for another box.
 * @throws PenstockError `config-invalid` when that file is missing or empty
 */
export async function readHardwareId(files: FileLayer, file: string | null, data: string): Promise<string> {
  if (file !== null) return readNamed(file)
  const system = (await readFile(machineId, 'utf8').catch(() => '')).trim()
  if (system) return system
  const own = join(data, 'hardware-id')
  const known = await files.readWhole(own)
  const id = known === null ? '' : new TextDecoder().decode(known).trim()
  if (id) return id
  const made = randomUUID()
  await files.replace(own, new TextEncoder().encode(`${made}\n`))
  return made
}

async function readNamed(file: string): Promise<string> {
  let problem = 'is empty'
  try {
    const id = (await readFile(file, 'utf8')).trim()
    if (id) return id
  } catch (error) {
    problem = `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unreadable'})`
  }
  throw new PenstockError('config-invalid', {
    text: `the hardware id file ${file} ${problem}; write the id of this box into it, or take edge.hardwareIdFile out of the site file`,
  })
}
