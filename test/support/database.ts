import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { inject } from 'vitest';
import {
  createDatabase,
  createMysqlDatabase,
  type TestDatabase,
} from '../../scripts/services/database.mjs';
import { mariadbSql } from './sql/mariadb.js';
import { postgresSql } from './sql/postgres.js';
import type { TestSql } from './sql/test-sql.js';

export type { TestDatabase };

/** What the specs of a project run on. */
export type TestDatabaseKind = 'postgres' | 'mariadb';

/** For the few tests that need what only PostgreSQL has; each says what. */
export const onPostgres = inject('testDatabase') === 'postgres';
/** How this project's database writes what the databases write in different ways. */
export const sql: TestSql = onPostgres ? postgresSql : mariadbSql;

/** A database of the project's kind for one test file: create it in `beforeAll`, drop it in `afterAll`. */
export function createTestDatabase(): Promise<TestDatabase> {
  return onPostgres ? createPostgresDatabase() : createMariadbDatabase();
}

export function createPostgresDatabase(): Promise<TestDatabase> {
  return createDatabase(inject('databaseUrl'));
}

export function createMariadbDatabase(): Promise<TestDatabase> {
  return createMysqlDatabase(inject('mariadbUrl'));
}

/** A key prefix for one test file, and what deletes every key under it. */
export function redisPrefix(): { prefix: string; cleanup(): Promise<void> } {
  const prefix = `events_test_${randomUUID()}`;
  return { prefix, cleanup: () => deleteKeys(prefix) };
}

async function deleteKeys(prefix: string): Promise<void> {
  const redis = new Redis(inject('redisUrl'));
  try {
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1_000 })) {
      if (keys.length > 0) await redis.unlink(keys);
    }
  } finally {
    redis.disconnect();
  }
}
