import { defineConfig } from 'vitest/config';
import base from './vitest.config.js';

/** The proof of the fault harness: minutes of real faults, so not a part of `npm test`. */
export default defineConfig({
  ...base,
  // Not merged: lists of files would be added up.
  test: { ...base.test, include: ['test/chaos/**/*.spec.ts'], exclude: [], maxWorkers: 1 },
});
