import { type ConfigSource, loadConfig } from '../runtime/config-file.ts'
import { nearest } from '../runtime/nearest.ts'
import { type Profile, ProfileSchema } from './schema.ts'

/** Reads one profile. @throws PenstockError `config-invalid` with all problems and their places */
export function loadProfile(path: string): Profile {
  return loadConfig(path, ProfileSchema, { check: checkProfile }).value
}

function checkProfile(profile: Profile, source: ConfigSource): void {
  const names = profile.tags.map(tag => tag.name)
  // capitals do not make another name (tck-id-case-sensitivity-metric-names)
  const folded = names.map(name => name.toLowerCase())
  for (const [index, tag] of profile.tags.entries()) {
    const here = ['tags', index]
    if (folded.indexOf(tag.name.toLowerCase()) !== index)
      source.fail([...here, 'name'], `the tag "${tag.name}" stands twice; rename one`)
    if (profile.driver === 'modbus') {
      if (!tag.total && (tag.register === undefined || tag.type === undefined)) {
        source.fail(here, `the tag "${tag.name}" needs "register" and "type" (or "total")`)
      }
      if (tag.total && (tag.register !== undefined || tag.type !== undefined)) {
        source.fail(here, `the tag "${tag.name}" has "total" and "register"/"type"; keep one`)
      }
    }
    if (tag.total && !tag.resolution) source.fail(here, `the total "${tag.name}" needs "resolution", e.g. "0.001"`)
    if (tag.type === 'string' && !tag.length) source.fail(here, `the string "${tag.name}" needs "length" in registers`)
    if (tag.min !== undefined && tag.max !== undefined && tag.min >= tag.max) {
      source.fail([...here, 'min'], `min ${tag.min} is not below max ${tag.max}; swap or correct them`)
    }
    if ((tag.total || tag.class === 'total') && tag.deadband !== undefined) {
      source.fail([...here, 'deadband'], 'a total has no deadband, every count matters; remove it')
    }
  }
  for (const [index, rule] of profile.rules.entries()) {
    for (const [place, name] of [['when', rule.when.tag] as const, ...rule.tags.map(tag => ['tags', tag] as const)]) {
      if (names.includes(name)) continue
      const guess = nearest(name, names)
      source.fail(
        ['rules', index, place],
        `there is no tag "${name}"${guess ? `; did you mean "${guess}"?` : ` in this profile`}`,
      )
    }
  }
}
