import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // Legacy decorators and the `design:paramtypes` that Nest injects by come from tsconfig.json.
  resolve: {
    alias: [
      { find: /^nestjs-durable-events$/, replacement: here('./lib/index.ts') },
      { find: /^nestjs-durable-events\/(.+)$/, replacement: here('./lib/$1/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.spec.ts'],
    // Minutes of real faults: `npm run test:chaos`.
    exclude: ['test/chaos/**'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    // Tests wait for databases more than they compute; more workers starve each other on 2 cores.
    maxWorkers: 3,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    retry: 0,
  },
});
