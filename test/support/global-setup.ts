import type { TestProject } from 'vitest/node';
import type { TestDatabaseKind } from './database.js';
import { findServices } from './services.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** Of a PostgreSQL server where the tests may create databases. */
    databaseUrl: string;
    /** Of a MariaDB server where the tests may create databases. */
    mariadbUrl: string;
    redisUrl: string;
    /** What the project's specs run on. */
    testDatabase: TestDatabaseKind;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const services = await findServices();
  project.provide('databaseUrl', services.databaseUrl);
  project.provide('mariadbUrl', services.mariadbUrl);
  project.provide('redisUrl', services.redisUrl);
  return () => services.stop();
}
