import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.js';

/** The proof of the fault harness: minutes of real faults, so not a part of `npm test`. */
export default mergeConfig(
  base,
  defineConfig({ test: { include: ['test/chaos/**/*.spec.ts'], exclude: [], maxWorkers: 1 } }),
);
