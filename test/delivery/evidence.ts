import { scenarios, troubleFor } from './scenarios.ts'
import { type Outcome, type Scenario, simulate } from './simulation.ts'

/**
 * Prints the tables of docs/delivery-evidence.md: `node test/delivery/evidence.ts [runs] [first seed]`.
 * Per cell: runs with undeclared loss / stuck / counting twice.
 */
const runs = Number(process.argv[2] ?? 100)
const firstSeed = Number(process.argv[3] ?? 1)

async function row(name: string, scenario: Scenario): Promise<void> {
  const outcomes: Outcome[] = []
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) outcomes.push(await simulate(seed, scenario))
  const count = (is: (outcome: Outcome) => boolean): number => outcomes.filter(is).length
  const sum = (of: (outcome: Outcome) => number): number => outcomes.reduce((total, outcome) => total + of(outcome), 0)
  const cells = [
    name,
    runs,
    sum(({ batches }) => batches),
    sum(({ delivered }) => delivered),
    sum(({ declared }) => declared),
    sum(({ repeated }) => repeated),
    count(({ lost }) => lost.length > 0),
    count(({ stuck }) => stuck !== null),
    count(({ twice, disorder, changed }) => twice.length + disorder.length + changed.length > 0),
  ]
  console.log(`| ${cells.join(' | ')} |`)
}

const head =
  '| | runs | batches | delivered | declared lost | repeated after an image | runs with loss | stuck | twice |'
const line = '|---|---|---|---|---|---|---|---|---|'
console.log(`${head}\n${line}`)
for (const [name, scenario] of Object.entries(scenarios)) await row(name, scenario)
console.log(`\n${head}\n${line}`)
for (const [rule, scenario] of Object.entries(troubleFor)) {
  await row(`${rule} on`, scenario)
  await row(`**${rule} off**`, { ...scenario, rules: { [rule]: false } })
}
