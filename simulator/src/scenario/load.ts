import { readdirSync } from 'node:fs'
import { basename, isAbsolute, join } from 'node:path'
import { type ConfigSource, loadConfig } from '@penstock/core/runtime/config-file.ts'
import { PenstockError } from '@penstock/core/runtime/errors.ts'
import { actionNames, CitySchema, type Scenario, ScenarioSchema, type Site } from '../scenario-file.ts'

const scenarioFolder = join(import.meta.dirname, '../../scenarios')
const cityFolder = join(import.meta.dirname, '../../cities')

/** A scenario with the sites of its city filled in. */
export type LoadedScenario = Omit<Scenario, 'city'> & { readonly path: string }

/** Names of the scenarios that come with the simulator, sorted. */
export function listScenarios(): string[] {
  return readdirSync(scenarioFolder)
    .filter(name => name.endsWith('.yaml'))
    .map(name => basename(name, '.yaml'))
    .sort()
}

const isPath = (text: string): boolean => /[/\\]|\.ya?ml$/.test(text)

/**
 * Reads a scenario by name, or from a YAML file, and its city; checks that everything it names exists.
 * @throws PenstockError `config-missing` or `config-invalid`
 */
export function loadScenario(nameOrFile: string): LoadedScenario {
  const path = isPath(nameOrFile) ? nameOrFile : join(scenarioFolder, `${nameOrFile}.yaml`)
  if (!isPath(nameOrFile) && !listScenarios().includes(nameOrFile)) {
    const text = `there is no scenario "${nameOrFile}"; choose one of ${listScenarios().join(', ')}, or name a file`
    throw new PenstockError('config-invalid', { text })
  }
  const { value, source } = loadConfig(path, ScenarioSchema)
  const sites = [...(value.city === null ? [] : loadCity(value.city, source)), ...value.sites]
  if (sites.length === 0) source.fail(['scenario'], 'no sites; name a city with "city:" or write "sites:"')
  for (const [index, site] of value.sites.entries()) checkSite(site, ['sites', index], source)
  unique(sites, 'site', ['scenario'], source)
  checkSteps(value, sites, source)
  checkExpectations(value, sites, source)
  source.check()
  const { city: _, ...scenario } = value
  return { ...scenario, sites, path }
}

function loadCity(city: string, scenario: ConfigSource): Site[] {
  const path = isPath(city) ? (isAbsolute(city) ? city : scenario.resolve(city)) : join(cityFolder, `${city}.yaml`)
  const { value, source } = loadConfig(path, CitySchema)
  for (const [index, site] of value.sites.entries()) checkSite(site, ['sites', index], source)
  source.check()
  return value.sites
}

type Path = readonly (string | number)[]

function unique(items: readonly { readonly id: string }[], what: string, path: Path, source: ConfigSource): void {
  const seen = new Set<string>()
  for (const { id } of items) {
    if (seen.has(id)) source.fail(path, `${what} "${id}" stands twice; give one of them another id`)
    seen.add(id)
  }
}

/** Notes that `id` names nothing in `items`. */
function known(
  items: readonly { readonly id: string }[],
  id: string,
  what: string,
  path: Path,
  source: ConfigSource,
): void {
  if (items.some(item => item.id === id)) return
  const names = items.map(item => item.id).join(', ') || 'none'
  source.fail(path, `there is no ${what} "${id}"; there is: ${names}`)
}

function checkSite(site: Site, path: Path, source: ConfigSource): void {
  for (const [key, what] of [
    ['tanks', 'tank'],
    ['flows', 'flow'],
    ['rooms', 'room'],
    ['devices', 'device'],
  ] as const) {
    unique(site[key], what, [...path, key], source)
  }
  site.flows.forEach((flow, index) => {
    const at = [...path, 'flows', index]
    if (flow.from !== null) known(site.tanks, flow.from, 'tank', [...at, 'from'], source)
    if (flow.to !== null) known(site.tanks, flow.to, 'tank', [...at, 'to'], source)
    if ((flow.pump === null) === (flow.user === null)) source.fail(at, 'write exactly one of "pump" and "user"')
    if (flow.pump?.control && flow.to === null)
      source.fail(at, 'a pump with "control" needs "to", the tank whose level counts')
  })
  const units = new Map<number, string>()
  site.devices.forEach((device, index) => {
    const at = [...path, 'devices', index]
    const other = units.get(device.unitId)
    if (other) source.fail([...at, 'unitId'], `unit id ${device.unitId} is that of "${other}"; give another`)
    units.set(device.unitId, device.id)
    const needs = {
      mfe600c: 'meter',
      tuf2000: 'meter',
      midas: 'detector',
      'level-generic': 'tank',
      signals: null,
    } as const
    const need = needs[device.kind]
    if (need && device[need] === null) source.fail(at, `a ${device.kind} needs "${need}"; add it`)
    if (device.meter) known(site.flows, device.meter.flow, 'flow', [...at, 'meter', 'flow'], source)
    if (device.detector) known(site.rooms, device.detector.room, 'room', [...at, 'detector', 'room'], source)
    if (device.tank !== null) known(site.tanks, device.tank, 'tank', [...at, 'tank'], source)
  })
  if (site.devices.length === 0 && !hasGroups(site))
    source.fail([...path, 'id'], 'the site has no devices; add "devices:"')
}

/** Whether a site has devices that are not named in the scenario. */
const hasGroups = (site: Site): boolean => site.loggers !== null || site.ramps !== null

function checkSteps(scenario: Scenario, sites: readonly Site[], source: ConfigSource): void {
  scenario.steps.forEach((step, index) => {
    const at = ['steps', index]
    const actions = actionNames.filter(name => step[name] !== undefined)
    if (actions.length !== 1) source.fail(at, `write exactly one of ${actionNames.join(', ')} in a step`)
    for (const problem of actionProblems(step, sites)) source.fail([...at, actions[0] ?? ''], problem)
  })
}

/** What an action names that does not exist, in words; empty when all is there. */
export function actionProblems(
  action: Pick<Scenario['steps'][number], (typeof actionNames)[number]>,
  sites: readonly Site[],
): string[] {
  const problems: string[] = []
  const has = (what: string, items: readonly { readonly id: string }[] | undefined, id: string): void => {
    if (items && !items.some(item => item.id === id)) {
      problems.push(`there is no ${what} "${id}"; there is: ${items.map(item => item.id).join(', ') || 'none'}`)
    }
  }
  const siteOf = (id: string): Site | undefined => {
    has('site', sites, id)
    return sites.find(site => site.id === id)
  }
  if (action.leak) has('room', siteOf(action.leak.site)?.rooms, action.leak.room)
  if (action.pump) has('flow', siteOf(action.pump.site)?.flows, action.pump.flow)
  if (action.demand) has('flow', siteOf(action.demand.site)?.flows, action.demand.flow)
  if (action.level) has('tank', siteOf(action.level.site)?.tanks, action.level.tank)
  const at = action.device ?? action.total ?? action.fault
  if (at) {
    const site = siteOf(at.site)
    if (at.device !== null && site && !hasGroups(site)) has('device', site.devices, at.device)
  }
  return problems
}

function checkExpectations(scenario: Scenario, sites: readonly Site[], source: ConfigSource): void {
  scenario.expect.forEach((expectation, index) => {
    const at = ['expect', index]
    const [siteId = '', deviceId = ''] = expectation.tag.split('/')
    const site = sites.find(candidate => candidate.id === siteId)
    known(sites, siteId, 'site', [...at, 'tag'], source)
    if (site && !hasGroups(site)) known(site.devices, deviceId, 'device', [...at, 'tag'], source)
    const needsLimit = expectation.event === 'rises-above' || expectation.event === 'falls-below'
    if (needsLimit && expectation.limit === null) source.fail(at, `"${expectation.event}" needs "limit"; add it`)
    if (expectation.toMs < expectation.fromMs) source.fail([...at, 'toMs'], '"toMs" is before "fromMs"')
  })
}
