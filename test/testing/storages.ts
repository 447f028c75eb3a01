import { afterAll, beforeAll } from 'vitest';
import {
  createMariadbDatabase,
  createPostgresDatabase,
  type TestDatabase,
} from '../support/database.js';
import type { KitOptions } from './support.js';

let postgres: TestDatabase | undefined;
let mariadb: TestDatabase | undefined;

/** What the kit runs on. Call {@link useStorages} where it is used. */
export const STORAGES: [name: string, options: () => KitOptions][] = [
  ['PostgreSQL', () => ({ database: { type: 'postgres', url: postgres!.url } })],
  ['MariaDB', () => ({ database: { type: 'mariadb', url: mariadb!.url } })],
  ['SQLite', () => ({ database: { type: 'better-sqlite3', database: ':memory:' } })],
  ['memory', () => ({})],
];

/** Databases for the tests of a file. */
export function useStorages(): void {
  beforeAll(async () => {
    [postgres, mariadb] = await Promise.all([createPostgresDatabase(), createMariadbDatabase()]);
  });
  afterAll(() => Promise.all([postgres?.drop(), mariadb?.drop()]));
}
