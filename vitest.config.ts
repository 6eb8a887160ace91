import { defineConfig } from 'vitest/config'

// Two suites: `unit` (no server outside npm, at most 3 minutes) and `system` (real servers, kills, browser, real data).
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/system/**', 'test/bench/**', 'node_modules/**'],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 60_000,
          // They mostly wait; two at a time fit 2 cores.
          maxWorkers: 2,
        },
      },
    ],
  },
})
