import type { TestProject } from 'vitest/node';
import { findServices } from './services.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** Of a PostgreSQL server where the tests may create databases. */
    databaseUrl: string;
    redisUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const services = await findServices();
  project.provide('databaseUrl', services.databaseUrl);
  project.provide('redisUrl', services.redisUrl);
  return () => services.stop();
}
