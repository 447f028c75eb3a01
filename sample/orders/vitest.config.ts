import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.js';

/** The sample's own tests, as its authors would run them: they need no service. */
export default defineConfig({
  ...base,
  root: fileURLToPath(new URL('../..', import.meta.url)),
  // Not merged: lists of files would be added up.
  test: {
    include: ['sample/orders/test/**/*.spec.ts'],
    // One thread for all of them, and what was compiled is kept for the next run: most of the time
    // goes to loading Nest, TypeORM and the library (3.3 s in all without these, 1.9 s with them).
    pool: 'threads',
    maxWorkers: 1,
    isolate: false,
    experimental: { fsModuleCache: true },
  },
});
