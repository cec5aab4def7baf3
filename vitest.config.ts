import { defineConfig } from 'vitest/config';

const live = ['test/integration/**/*.test.ts', 'test/e2e/**/*.test.ts'];

/** A poll ends with its condition; the default limit of a second would measure how busy the machine is. */
const polls = { poll: { timeout: 30_000 } };

/**
 * `unit` needs no build and no sockets; `live` starts real brokers, workers and processes from dist/. Those spend half
 * their time waiting for one another, so that three files at a time use two cores.
 */
export default defineConfig({
  test: {
    // As shared/runtime/no-telemetry.ts does, for tests that load the runtime themselves.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    reporters: ['default', './test/closing-line.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: live,
          testTimeout: 30_000,
          expect: polls,
          // Files share the modules that they import: reading these again for each takes a third of the time.
          isolate: false,
          maxWorkers: '100%',
        },
      },
      {
        test: {
          name: 'live',
          include: live,
          testTimeout: 180_000,
          hookTimeout: 120_000,
          expect: polls,
          maxWorkers: 3,
          // Of the tests of one file; each is a cluster of its own.
          maxConcurrency: 3,
          sequence: { groupOrder: 1 },
          pool: 'forks',
        },
      },
    ],
  },
});
