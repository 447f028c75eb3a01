import { defineConfig } from 'vitest/config';
import { globalSetup, shared } from './vitest.config.js';

/** The proof of the fault harness: minutes of real faults, so not a part of `npm test`. */
export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    globalSetup,
    include: ['test/chaos/**/*.spec.ts'],
    pool: 'forks',
    maxWorkers: 1,
    provide: { testDatabase: 'postgres' },
  },
});
