import { defineConfig } from 'vitest/config';

const live = ['test/integration/**/*.test.ts', 'test/e2e/**/*.test.ts'];

/** `unit` needs no build and no sockets; `live` starts real brokers, workers and processes from dist/. */
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
          fileParallelism: false,
          pool: 'forks',
        },
      },
    ],
  },
});
