import type { EdgeSite } from './world.ts'

const title = { zh: '基准', en: 'bench' }
const tagsPerBlock = 10
/** Registers from one block to the next: too far to be read along. */
const blockDistance = 200

/** Devices of `blocks` blocks of ten floats with holes between them, as the simulator's scenario `load` has them. */
export function edgeLoad(options: {
  readonly port: number
  readonly devices: number
  readonly blocks: number
  readonly scanMs: number
  readonly connections: number
  readonly maxInFlight: number
}): EdgeSite {
  const { port, devices, blocks, scanMs, connections, maxInFlight } = options
  return {
    scanClasses: { fast: scanMs },
    profiles: { bench: profile(blocks) },
    channels: Array.from({ length: connections }, (_, index) => ({
      ...{ id: `c${index}`, driver: 'modbus', host: '127.0.0.1', port, timeoutMs: 900, maxInFlight },
    })),
    devices: Array.from({ length: devices }, (_, index) => ({
      ...{ site: 'bench', id: `d${index}`, channel: `c${index % connections}`, profile: 'bench' },
      unitId: 1 + Math.floor(index / connections),
    })),
  }
}

function profile(blocks: number): object {
  return {
    ...{ profile: 'bench', title, source: 'made for the benchmark', confidence: 'own', driver: 'modbus' },
    tags: Array.from({ length: blocks * tagsPerBlock }, (_, index) => ({
      ...{ name: `t${index}`, title, type: 'f32', unit: 'm3/h', class: 'raw', scan: 'fast' },
      register: Math.floor(index / tagsPerBlock) * blockDistance + (index % tagsPerBlock) * 2,
    })),
  }
}
