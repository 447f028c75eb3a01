import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.js';

/** The sample's own tests, as its authors would run them: they need no service. */
export default defineConfig({
  ...base,
  root: fileURLToPath(new URL('../..', import.meta.url)),
  // Not merged: lists of files would be added up.
  // One process for all of them: most of the time goes to loading Nest and TypeORM.
  test: { include: ['sample/orders/test/**/*.spec.ts'], maxWorkers: 1, isolate: false },
});
