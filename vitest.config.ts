import { fileURLToPath } from 'node:url';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import type { TestDatabaseKind } from './test/support/database.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** What every project has. Legacy decorators and their `design:paramtypes` come from tsconfig.json. */
export const shared = {
  resolve: {
    alias: [
      { find: /^nestjs-durable-events$/, replacement: here('./lib/index.ts') },
      { find: /^nestjs-durable-events\/(.+)$/, replacement: here('./lib/$1/index.ts') },
    ],
  },
  // Long: nothing is waited for by time, and a machine with other things to do may take long.
  test: { testTimeout: 60_000, hookTimeout: 60_000, retry: 0 },
};

/** Finds the services once for all projects, which inherit what it provides. */
export const globalSetup = ['test/support/global-setup.ts'];

/** A file, or a folder of files, that is named for a database runs on that one only. */
const only = (...names: string[]) =>
  names.flatMap((name) => [`test/**/${name}/**`, `test/**/${name}*.int.spec.ts`]);
/** Minutes of real faults: `npm run test:chaos`. */
const CHAOS = 'test/chaos/**';
/** Nothing in them depends on the application's database, so they run once, beside PostgreSQL. */
const WITHOUT_DATABASE = [
  // The tests' own tools, and the README as it is printed.
  'test/{docs,support}/**',
  // The queue alone, its outages and its end; what it means for deliveries is in `work`.
  'test/queue/!(work).int.spec.ts',
  // They go through all databases themselves.
  'test/testing/**',
];

export default defineConfig({
  test: {
    globalSetup,
    pool: 'forks',
    // Tests wait for databases more than they compute; more workers starve each other on 2 cores.
    maxWorkers: 3,
    projects: [
      project('unit', {
        include: ['test/**/*.spec.ts', 'sample/*/test/**/*.spec.ts'],
        exclude: ['**/*.{int,e2e}.spec.ts'],
      }),
      onDatabase('postgres', {
        include: ['test/**/*.{int,e2e}.spec.ts', 'sample/*/test/**/*.e2e.spec.ts'],
        exclude: only('mysql', 'mariadb'),
      }),
      onDatabase('mariadb', {
        include: ['test/**/*.int.spec.ts'],
        exclude: [...only('postgres', 'sqlite'), ...WITHOUT_DATABASE],
      }),
    ],
  },
});

interface Files {
  readonly include: string[];
  readonly exclude: string[];
}

/** A project whose specs get databases of that kind from `createTestDatabase`. */
function onDatabase(kind: TestDatabaseKind, files: Files): TestProjectInlineConfiguration {
  return project(kind, files, { testDatabase: kind });
}

function project(
  name: string,
  { include, exclude }: Files,
  provide: { testDatabase?: TestDatabaseKind } = {},
): TestProjectInlineConfiguration {
  return {
    ...shared,
    test: { ...shared.test, name, include, exclude: [CHAOS, ...exclude], provide },
  };
}
