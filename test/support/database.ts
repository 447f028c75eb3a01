import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { inject } from 'vitest';
import { createDatabase, type TestDatabase } from '../../scripts/services/database.mjs';

export type { TestDatabase };

/** A database for one test file: create it in `beforeAll`, drop it in `afterAll`. */
export function createTestDatabase(): Promise<TestDatabase> {
  return createDatabase(inject('databaseUrl'));
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
