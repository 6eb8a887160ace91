import { type Faults, noFaults } from '../support/network.ts'
import type { Findings } from './oracle.ts'
import { calm, type Outcome, type Rule, type Scenario } from './simulation.ts'

const rough: Faults = { loss: 0.05, repeat: 0.05, late: 0.1, lateMs: 3000, birthLoss: 0.1, delayMs: 30 }
const usual: Scenario = {
  ...calm,
  network: rough,
  edgeCrashes: 4,
  gatewayCrashes: 3,
  brokerCrashes: 1,
  partitions: 1,
  rebirths: 1,
}

/** Everything that the protocol has to stand, one kind of trouble after the other. Numbers are times a minute, see `Scenario`. */
export const scenarios: Readonly<Record<string, Scenario>> = {
  'a rough network': { ...calm, network: rough, rebirths: 2 },
  'a very bad network': {
    ...calm,
    faultMs: 40_000,
    network: { loss: 0.3, repeat: 0.2, late: 0.3, lateMs: 4000, birthLoss: 0.2, delayMs: 200 },
    edgeCrashes: 6,
    gatewayCrashes: 6,
    brokerCrashes: 2,
    partitions: 3,
    rebirths: 3,
  },
  'crashes of both sides': usual,
  'crashes and overflow': { ...usual, partitions: 2, outboxBytes: 12 * 1024 },
  'unreadable records': { ...usual, partitions: 2, damages: 3, outboxBytes: 64 * 1024 },
  'disks that refuse': { ...usual, partitions: 2, diskFaults: 4 },
  'disk images put back at the edge': { ...usual, edgeCrashes: 6, images: 0.5 },
  'backups put back at the gateway': { ...usual, gatewayCrashes: 5, backups: 0.5 },
  'images and backups': { ...usual, gatewayCrashes: 4, images: 0.4, backups: 0.4 },
  'everything at once': {
    ...usual,
    gatewayCrashes: 4,
    partitions: 2,
    diskFaults: 2,
    damages: 2,
    images: 0.4,
    backups: 0.4,
    outboxBytes: 16 * 1024,
  },
}

/** For each rule the trouble that it is there for. */
export const troubleFor: Readonly<Record<Rule, Scenario>> = {
  rebirthAlienSession: {
    ...calm,
    faultMs: 30_000,
    rebirths: 8,
    network: { ...noFaults, late: 0.1, lateMs: 1500, birthLoss: 0.7, delayMs: 50 },
  },
  sessionNumber: {
    ...calm,
    edgeCrashes: 10,
    gatewayCrashes: 6,
    images: 0.6,
    backups: 0.3,
    rebirths: 2,
    network: { ...noFaults, loss: 0.05, repeat: 0.1, late: 0.4, lateMs: 9000, delayMs: 30 },
  },
  tailCheck: { ...usual, edgeCrashes: 8, images: 0.7 },
  hello: { ...usual, gatewayCrashes: 5, backups: 0.5 },
  declaredHoles: { ...usual, partitions: 2, outboxBytes: 12 * 1024 },
  fsyncBeforePublish: { ...usual, edgeCrashes: 8 },
}

/** What in an outcome breaks the promise; empty: nothing. Repeats of what a disk image held are within it. */
export function broken(
  { lost, twice, disorder, changed, unexplained, stuck }: Findings & Pick<Outcome, 'stuck'>,
  { backups }: Scenario,
): string[] {
  return [
    ...lost.map(what => `lost: ${what}`),
    ...twice.map(what => `twice: ${what}`),
    ...disorder.map(what => `out of order: ${what}`),
    ...changed.map(what => `changed: ${what}`),
    // a gateway that was put back may have lost the reason together with the end of class alarm
    ...(backups > 0 ? [] : unexplained.map(what => `lost without a reason: ${what}`)),
    ...(stuck === null ? [] : [`stuck: ${stuck}`]),
  ]
}
