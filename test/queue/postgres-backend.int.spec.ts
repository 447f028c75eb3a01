import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { workerSettings } from '../../lib/queue/bull-worker-settings.js';
import { PostgresBackend } from '../../lib/queue/postgres/postgres-backend.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

let database: TestDatabase;
let admin: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
});
afterAll(async () => {
  await admin.end();
  await database.drop();
});

const SETTINGS = workerSettings({
  queue: 'default',
  concurrency: 5,
  limiter: undefined,
  lockDurationMs: 30_000,
  pollIntervalMs: 200,
});

/** How many other sessions the database has. */
async function sessions(): Promise<number> {
  const { rows } = await admin.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  );
  return rows[0]?.count ?? 0;
}

it('E8: workers that are closed while they start take no connections along', async () => {
  const backend = new PostgresBackend(database.url, { workers: 1, migrate: true });
  await backend.connect();
  // As many as its pool has connections, and more.
  for (let count = 0; count < 10; count++) {
    const connected = backend.createWorker(randomUUID(), async () => undefined, SETTINGS);
    const { worker } = connected;
    worker.on('error', () => undefined);
    const ready = worker.waitUntilReady().catch(() => undefined);
    await worker.close();
    connected.drop();
    await ready;
  }
  await backend.connect();
  await backend.disconnect();
  await expect.poll(sessions, { timeout: 10_000 }).toBe(0);
});
